/// A place in storage order: by epoch, then by transaction, then by sequence number.
///
/// Only the sequencer and the relay use it: everything else counts in log indexes. The sequence number alone is not enough: a
/// transaction that drew a smaller one can commit later, and a reader that has passed that number would never see its events.
public struct Position: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Transaction ids mean something in one epoch: it rises when the log moves to another cluster.
  public let epoch: Int32
  /// The transaction's id (xid8).
  public let transaction: UInt64
  public let sequence: Int64

  public init(epoch: Int32, transaction: UInt64, sequence: Int64) {
    (self.epoch, self.transaction, self.sequence) = (epoch, transaction, sequence)
  }

  /// Before the first event.
  public static let start = Position(epoch: 0, transaction: 0, sequence: 0)

  public static func < (left: Position, right: Position) -> Bool {
    (left.epoch, left.transaction, left.sequence) < (right.epoch, right.transaction, right.sequence)
  }

  public var description: String { "\(epoch):\(transaction):\(sequence)" }
}
