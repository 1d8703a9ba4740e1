import Postgres
import Time

/// Where a change stands in its source.
struct ChangeContext {
  let database: String
  /// The transaction's number, as the confirmation counts.
  let number: Int
  let transaction: UInt32
  let committedAt: Timestamp
  /// Of the change itself.
  let lsn: LogSequenceNumber
  /// The end of the commit before this transaction, once there was one.
  let lastCommit: LogSequenceNumber?
  /// From where the transaction came, and its commit's position there, if it is not this server's own.
  let origin: (name: String, lsn: LogSequenceNumber)?
}

/// Makes messages of what comes out of the WAL. It lives with the attempt that uses it.
protocol ChangeEncoder: AnyObject {
  /// Takes one message of the plugin, in the order in which they come, begins and commits included.
  func encode(_ message: PgOutputMessage, _ context: ChangeContext, into batch: inout MessageBatch) throws
}
