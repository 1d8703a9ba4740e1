/// A place in storage order: by transaction, then by sequence number.
///
/// The sequence number alone is not enough: a transaction that drew a smaller number can commit later, and a reader that
/// has passed that number would never see its events.
public struct Position: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The transaction's id with its epoch (xid8).
  public let transaction: UInt64
  public let sequence: Int64

  public init(transaction: UInt64, sequence: Int64) { (self.transaction, self.sequence) = (transaction, sequence) }

  /// Before the first event.
  public static let start = Position(transaction: 0, sequence: 0)

  public static func < (left: Position, right: Position) -> Bool {
    (left.transaction, left.sequence) < (right.transaction, right.sequence)
  }

  public var description: String { "\(transaction):\(sequence)" }
}
