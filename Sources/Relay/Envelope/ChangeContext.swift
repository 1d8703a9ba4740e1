package import Postgres
package import Time

/// Position and transaction of a change in its source.
package struct ChangeContext {
  package let database: String
  /// The transaction's number in the confirmation tracker.
  package let number: Int
  package let transaction: UInt32
  package let committedAt: Timestamp
  /// LSN of the change itself.
  package let lsn: LogSequenceNumber
  /// LSN of the commit received before this transaction; nil: none.
  package let lastCommit: LogSequenceNumber?
  /// Replication origin and the LSN of the commit there; nil: the transaction is this server's own.
  package let origin: (name: String, lsn: LogSequenceNumber)?

  package init(
    database: String, number: Int, transaction: UInt32, committedAt: Timestamp, lsn: LogSequenceNumber,
    lastCommit: LogSequenceNumber? = nil, origin: (name: String, lsn: LogSequenceNumber)? = nil
  ) {
    (self.database, self.number, self.transaction, self.committedAt) = (database, number, transaction, committedAt)
    (self.lsn, self.lastCommit, self.origin) = (lsn, lastCommit, origin)
  }
}
