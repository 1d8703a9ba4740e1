import Postgres
import Time

/// Position and transaction of a change in its source.
struct ChangeContext {
  let database: String
  /// The transaction's number in the confirmation tracker.
  let number: Int
  let transaction: UInt32
  let committedAt: Timestamp
  /// LSN of the change itself.
  let lsn: LogSequenceNumber
  /// LSN of the commit received before this transaction; nil: none.
  let lastCommit: LogSequenceNumber?
  /// Replication origin and the LSN of the commit there; nil: the transaction is this server's own.
  let origin: (name: String, lsn: LogSequenceNumber)?
}

/// Encodes changes from the WAL as messages. An encoder is used by one attempt.
protocol ChangeEncoder: AnyObject {
  /// Encodes one pgoutput message. Called in the order of the stream, for begins and commits too.
  func encode(_ message: PgOutputMessage, _ context: ChangeContext, into batch: inout MessageBatch) throws
}
