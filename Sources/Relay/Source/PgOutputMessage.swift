import Postgres
import Time

/// A message of the pgoutput plugin: PostgreSQL documentation, “Logical Replication Message Formats”, protocol 1.
/// Bytes are lent: they are good until the call that handed the message over returns.
enum PgOutputMessage {
  case begin(finalLSN: LogSequenceNumber, committedAt: Timestamp, transaction: UInt32)
  case commit(lsn: LogSequenceNumber, end: LogSequenceNumber, committedAt: Timestamp)
  case relation(Relation)
  case insert(relation: UInt32, row: Tuple)
  /// An update, a delete, a truncate: what an outbox never publishes.
  case change(relation: UInt32?)
  /// Origins, types and logical messages: nothing here depends on them.
  case other

  /// A table as the rows that follow are laid out.
  struct Relation: Equatable {
    let id: UInt32
    let schema: String
    let name: String
    let columns: [Column]

    struct Column: Equatable {
      let name: String
      let type: UInt32
    }
  }

  /// A row's columns, in the relation's order.
  struct Tuple {
    enum Column {
      case null
      /// A TOASTed value that the change left alone.
      case unchanged
      case text(UnsafeRawBufferPointer)
      case binary(UnsafeRawBufferPointer)
    }
    let columns: [Column]
  }
}

/// Bytes that are no pgoutput message, with what was expected where.
struct PgOutputError: Error, Equatable, CustomStringConvertible {
  let expected: String
  let offset: Int
  var description: String { "malformed pgoutput message: expected \(expected) at byte \(offset)" }
}
