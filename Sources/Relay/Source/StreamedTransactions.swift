import Postgres
import Time

/// Large transactions that the server sends while they still run (pgoutput from protocol 2 on, `streaming`). Their
/// messages are kept in memory, and above a limit on disk, until they commit or abort. An aborted subtransaction
/// discards its own messages.
final class StreamedTransactions {
  /// Memory limit for all transactions together, in bytes.
  private let maximumMemory: Int
  private let directory: String
  private var spools: [UInt32: TransactionSpool] = [:]
  private var present: TransactionSpool?
  /// Bytes that were written to disk.
  private(set) var spilled = 0
  private let includes: (_ schema: String, _ table: String) -> Bool
  /// Tables whose rows are not kept, because nothing of them is sent.
  private var excluded: Set<UInt32> = []

  /// - Parameter includes: True for tables whose changes are sent.
  init(
    directory: String, maximumMemory: Int,
    includes: @escaping (_ schema: String, _ table: String) -> Bool = { _, _ in true }
  ) {
    (self.directory, self.maximumMemory, self.includes) = (directory, maximumMemory, includes)
  }

  struct Commit {
    let spool: TransactionSpool
    let transaction: UInt32
    let lsn: LogSequenceNumber
    let end: LogSequenceNumber
    let committedAt: Timestamp
  }

  enum Step {
    /// The message belongs to a transaction in progress.
    case kept
    /// The message belongs to a transaction that is not streamed.
    case plain(PgOutputMessage)
    /// A transaction in progress has been committed.
    case committed(Commit)
  }

  /// Processes the next message of the stream.
  func take(_ payload: UnsafeRawBufferPointer, at start: LogSequenceNumber) throws -> Step {
    if let present {
      if payload.first == UInt8(ascii: "E") {
        guard case .streamStop = try PgOutputDecoder.decode(payload) else {
          throw ReplicationError.outOfPlace("a malformed stream stop")
        }
        self.present = nil
      } else if try keeps(payload) {
        try present.append(payload, at: start)
      }
      return .kept
    }
    let message = try PgOutputDecoder.decode(payload)
    switch message {
    case .streamStart(let transaction, let isFirst):
      let spool = isFirst ? nil : spools[transaction]
      guard isFirst || spool != nil else {
        throw ReplicationError.outOfPlace("a later segment of transaction \(transaction) without the first one")
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
        throw ReplicationError.outOfPlace("the commit of transaction \(transaction) without its first segment")
      }
      return .committed(
        Commit(spool: spool, transaction: transaction, lsn: lsn, end: end, committedAt: committedAt))
    case .streamStop: throw ReplicationError.outOfPlace("a stream stop without a stream start")
    default: return .plain(message)
    }
  }

  /// False for rows of tables that are not sent. Inside a segment a transaction id stands between type and content
  /// (PostgreSQL documentation, “Logical Replication Message Formats”).
  private func keeps(_ payload: UnsafeRawBufferPointer) throws -> Bool {
    switch payload.first {
    case UInt8(ascii: "R"):
      guard payload.count > 5 else { return true }
      let plain = [payload[0]] + payload.dropFirst(5)
      guard case .relation(let relation) = try plain.withUnsafeBytes({ try PgOutputDecoder.decode($0) }) else {
        return true
      }
      if includes(relation.schema, relation.name) {
        excluded.remove(relation.id)
      } else {
        excluded.insert(relation.id)
      }
      return true
    case UInt8(ascii: "I"), UInt8(ascii: "U"), UInt8(ascii: "D"):
      guard !excluded.isEmpty, payload.count >= 9 else { return true }
      return !excluded.contains(UInt32(bigEndian: payload.loadUnaligned(fromByteOffset: 5, as: UInt32.self)))
    default: return true
    }
  }

  /// Writes the largest transactions to disk until the others are within the memory limit.
  func spill() async throws {
    var memory = spools.values.reduce(0) { $0 + $1.bytesInMemory }
    while memory > maximumMemory, let largest = spools.values.max(by: { $0.bytesInMemory < $1.bytesInMemory }) {
      memory -= largest.bytesInMemory
      spilled += largest.bytesInMemory
      try await largest.spill()
    }
  }
}
