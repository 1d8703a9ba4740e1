import Postgres
import Time

/// Large transactions that the server sends while they still run (pgoutput from protocol 2 on, `streaming`): what they
/// bring is kept apart, in memory and above a bound on disk, until it is known how they end. An aborted subtransaction
/// takes back what it brought.
final class StreamedTransactions {
  /// What is kept in memory, in bytes, of all of them together.
  private let maximumMemory: Int
  private let directory: String
  private var spools: [UInt32: TransactionSpool] = [:]
  private var present: TransactionSpool?
  /// Bytes that were written to disk.
  private(set) var spilled = 0

  init(directory: String, maximumMemory: Int) { (self.directory, self.maximumMemory) = (directory, maximumMemory) }

  struct Commit {
    let spool: TransactionSpool
    let transaction: UInt32
    let lsn: LogSequenceNumber
    let end: LogSequenceNumber
    let committedAt: Timestamp
  }

  enum Step {
    /// It is part of a transaction in progress, or says something about one.
    case kept
    /// It is of a transaction that comes whole.
    case plain(PgOutputMessage)
    /// A transaction in progress has been committed.
    case committed(Commit)
  }

  /// Takes one message in the order in which they come.
  func take(_ payload: UnsafeRawBufferPointer, at start: LogSequenceNumber) throws -> Step {
    if let present {
      if payload.first == UInt8(ascii: "E") {
        guard case .streamStop = try PgOutputDecoder.decode(payload) else {
          throw ReplicationError.outOfPlace("a malformed end of a part of a transaction")
        }
        self.present = nil
      } else {
        try present.append(payload, at: start)
      }
      return .kept
    }
    let message = try PgOutputDecoder.decode(payload)
    switch message {
    case .streamStart(let transaction, let isFirst):
      let spool = isFirst ? nil : spools[transaction]
      guard isFirst || spool != nil else {
        throw ReplicationError.outOfPlace("a later part of transaction \(transaction) without its beginning")
      }
      let known = spool ?? TransactionSpool(transaction, in: directory)
      spools[transaction] = known
      present = known
      return .kept
    case .streamAbort(let transaction, let subtransaction):
      if transaction == subtransaction {
        spools[transaction] = nil
      } else {
        try spools[transaction]?.abort(subtransaction)
      }
      return .kept
    case .streamCommit(let transaction, let lsn, let end, let committedAt):
      guard let spool = spools.removeValue(forKey: transaction) else {
        throw ReplicationError.outOfPlace("the commit of transaction \(transaction) without its beginning")
      }
      return .committed(
        Commit(spool: spool, transaction: transaction, lsn: lsn, end: end, committedAt: committedAt))
    case .streamStop: throw ReplicationError.outOfPlace("the end of a part of a transaction without its beginning")
    default: return .plain(message)
    }
  }

  /// Writes the largest ones to disk until the others are within the bound.
  func spill() async throws {
    var memory = spools.values.reduce(0) { $0 + $1.bytesInMemory }
    while memory > maximumMemory, let largest = spools.values.max(by: { $0.bytesInMemory < $1.bytesInMemory }) {
      memory -= largest.bytesInMemory
      spilled += largest.bytesInMemory
      try await largest.spill()
    }
  }
}
