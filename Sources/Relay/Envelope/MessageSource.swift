package import Postgres

/// What a message comes from. Encoding it again, by another attempt or from the other source, gives the same.
package enum MessageSource: Hashable, CustomStringConvertible {
  /// A record of the WAL.
  case change(LogSequenceNumber)
  /// An event of the outbox, by its number, which it has in the WAL and in the table.
  case event(Int64)
  /// A row of a table that a snapshot has read, by the snapshot's xmax. It precedes what is in the WAL from `start` on.
  case row(Int, table: UInt32, reading: UInt64, start: LogSequenceNumber)

  /// The order of a key's messages in one feed. It compares with places of the same feed alone.
  var place: Int64 {
    switch self {
    case .change(let lsn), .row(_, _, _, let lsn): Int64(bitPattern: lsn.value)
    case .event(let number): number
    }
  }

  /// As annals.parked_messages has it.
  package var description: String {
    switch self {
    case .change(let lsn): "lsn \(lsn)"
    case .event(let number): "event \(number)"
    case .row(let number, let table, let reading, _): "row \(number) of table \(table) in snapshot \(reading)"
    }
  }
}
