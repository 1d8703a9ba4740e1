/// The aggregate's row image before and after an event, as others see it.
public struct RowChange: Equatable, Sendable {
  /// Debezium's letters.
  public enum Operation: String, Sendable { case create = "c", update = "u", delete = "d" }

  public let operation: Operation
  /// A JSON object; nil at creation.
  public let before: [UInt8]?
  /// A JSON object; nil at deletion.
  public let after: [UInt8]?

  /// nil if there is no row on either side.
  public init?(before: [UInt8]?, after: [UInt8]?) {
    switch (before, after) {
    case (nil, nil): return nil
    case (nil, _): operation = .create
    case (_, nil): operation = .delete
    default: operation = .update
    }
    (self.before, self.after) = (before, after)
  }
}
