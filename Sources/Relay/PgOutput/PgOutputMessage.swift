package import Postgres
package import Time

/// A message of the pgoutput plugin: PostgreSQL documentation, “Logical Replication Message Formats”, protocol 2.
/// Bytes are borrowed: they are valid until the call that passed the message returns.
package enum PgOutputMessage {
  case begin(finalLSN: LogSequenceNumber, committedAt: Timestamp, transaction: UInt32)
  case commit(lsn: LogSequenceNumber, end: LogSequenceNumber, committedAt: Timestamp)
  /// Replication origin of a transaction from another server: the LSN of its commit there, and the origin's name.
  case origin(lsn: LogSequenceNumber, name: String)
  case relation(Relation)
  case insert(relation: UInt32, row: Tuple)
  case update(relation: UInt32, old: OldRow?, row: Tuple)
  case delete(relation: UInt32, old: OldRow)
  case truncate(relations: [UInt32], cascades: Bool, restartsIdentity: Bool)
  /// A logical message, written by pg_logical_emit_message().
  case message(isTransactional: Bool, lsn: LogSequenceNumber, prefix: String, content: UnsafeRawBufferPointer)
  /// The name of a type. It is not used here.
  case type
  /// The messages that follow, until the next stream stop, belong to a transaction in progress.
  case streamStart(transaction: UInt32, isFirst: Bool)
  case streamStop
  case streamCommit(transaction: UInt32, lsn: LogSequenceNumber, end: LogSequenceNumber, committedAt: Timestamp)
  /// A transaction in progress, or one of its subtransactions, was aborted.
  case streamAbort(transaction: UInt32, subtransaction: UInt32)

  /// A table with the layout of the rows that follow.
  package struct Relation: Equatable {
    package let id: UInt32
    package let schema: String
    package let name: String
    /// `d`efault, `f`ull, `i`ndex or `n`othing.
    package var identity = UInt8(ascii: "d")
    package let columns: [Column]

    package init(
      id: UInt32, schema: String, name: String, identity: UInt8 = UInt8(ascii: "d"), columns: [Column]
    ) {
      (self.id, self.schema, self.name, self.identity, self.columns) = (id, schema, name, identity, columns)
    }

    package struct Column: Equatable {
      package let name: String
      /// The type's OID.
      package let type: UInt32
      package var modifier: Int32 = -1
      /// True if the column is part of the replica identity.
      package var isKey = false

      package init(name: String, type: UInt32, modifier: Int32 = -1, isKey: Bool = false) {
        (self.name, self.type, self.modifier, self.isKey) = (name, type, modifier, isKey)
      }
    }
  }

  /// The row before a change: all columns, or the replica identity's columns and null for the others.
  package struct OldRow {
    package let isKeyOnly: Bool
    package let row: Tuple
  }

  /// A row's columns, in the relation's order.
  package struct Tuple {
    package enum Column {
      case null
      /// A TOASTed value that the change did not modify; Postgres does not send it.
      case unchanged
      case text(UnsafeRawBufferPointer)
      case binary(UnsafeRawBufferPointer)
    }
    package let columns: [Column]

    package init(columns: [Column]) { self.columns = columns }
  }
}

/// Malformed pgoutput bytes, with the expected content and the offset.
package struct PgOutputError: Error, Equatable, CustomStringConvertible {
  package let expected: String
  package let offset: Int
  package var description: String { "malformed pgoutput message: expected \(expected) at byte \(offset)" }
}
