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

  /// Where the snapshot's slot begins is its place, and no part of what a row is.
  package static func == (left: MessageSource, right: MessageSource) -> Bool {
    switch (left, right) {
    case (.change(let one), .change(let other)): one == other
    case (.event(let one), .event(let other)): one == other
    case (.row(let number, let table, let reading, _), .row(let otherNumber, let otherTable, let otherReading, _)):
      number == otherNumber && table == otherTable && reading == otherReading
    default: false
    }
  }

  package func hash(into hasher: inout Hasher) {
    switch self {
    case .change(let lsn): hasher.combine(lsn)
    case .event(let number): hasher.combine(number)
    case .row(let number, let table, let reading, _):
      hasher.combine(number)
      hasher.combine(table)
      hasher.combine(reading)
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
