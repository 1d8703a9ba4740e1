import Postgres
import Time

/// A message of the pgoutput plugin: PostgreSQL documentation, “Logical Replication Message Formats”, protocol 2.
/// Bytes are lent: they are good until the call that handed the message over returns.
enum PgOutputMessage {
  case begin(finalLSN: LogSequenceNumber, committedAt: Timestamp, transaction: UInt32)
  case commit(lsn: LogSequenceNumber, end: LogSequenceNumber, committedAt: Timestamp)
  /// The transaction came from elsewhere: its commit's position there, and the name of that place.
  case origin(lsn: LogSequenceNumber, name: String)
  case relation(Relation)
  case insert(relation: UInt32, row: Tuple)
  case update(relation: UInt32, old: OldRow?, row: Tuple)
  case delete(relation: UInt32, old: OldRow)
  case truncate(relations: [UInt32], cascades: Bool, restartsIdentity: Bool)
  /// What pg_logical_emit_message() wrote.
  case message(isTransactional: Bool, lsn: LogSequenceNumber, prefix: String, content: UnsafeRawBufferPointer)
  /// A type's name: nothing here depends on it.
  case type
  /// What follows is part of a transaction in progress, until the next stop.
  case streamStart(transaction: UInt32, isFirst: Bool)
  case streamStop
  case streamCommit(transaction: UInt32, lsn: LogSequenceNumber, end: LogSequenceNumber, committedAt: Timestamp)
  /// A transaction in progress, or a part of it, counts for nothing.
  case streamAbort(transaction: UInt32, subtransaction: UInt32)

  /// A table as the rows that follow are laid out.
  struct Relation: Equatable {
    let id: UInt32
    let schema: String
    let name: String
    /// `d`efault, `f`ull, `i`ndex or `n`othing.
    var identity = UInt8(ascii: "d")
    let columns: [Column]

    struct Column: Equatable {
      let name: String
      /// The type's number in pg_type.
      let type: UInt32
      var modifier: Int32 = -1
      /// Whether it is part of the replica identity.
      var isKey = false
    }
  }

  /// What a row was before a change: all of it, or the replica identity's columns and null elsewhere.
  struct OldRow {
    let isKeyOnly: Bool
    let row: Tuple
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
