public import Postgres

/// A place in the order in which readers see the whole log: by transaction, then by number.
///
/// Numbers alone would not do: a transaction that drew a smaller number can commit later, and a reader that is past it
/// would never see it.
public struct GlobalPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let transaction: TransactionID
  public let sequence: Int64

  public init(transaction: TransactionID, sequence: Int64) {
    (self.transaction, self.sequence) = (transaction, sequence)
  }

  /// Before the first event.
  public static let start = GlobalPosition(transaction: TransactionID(0), sequence: 0)

  public static func < (left: GlobalPosition, right: GlobalPosition) -> Bool {
    (left.transaction, left.sequence) < (right.transaction, right.sequence)
  }

  public var description: String { "\(transaction.value):\(sequence)" }
}
