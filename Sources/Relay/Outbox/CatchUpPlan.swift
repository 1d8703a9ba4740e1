import Postgres
import Schema

/// The source's position at one point in time.
struct SourcePosition {
  static let query = Query("source_position", Schema.sourcePosition)

  let snapshot: TransactionSnapshot
  /// Everything that the snapshot sees was committed before this LSN.
  let inserted: LogSequenceNumber
  /// WAL before this LSN is flushed: a crash of the server cannot lose it.
  let flushed: LogSequenceNumber
  /// The last position that was assigned to an event.
  let lastEvent: Int64
  /// The log's epoch.
  let epoch: Int32

  static func read(_ session: PostgresSession) async throws -> SourcePosition {
    guard let row = try await session.query(query).first, let snapshot = TransactionSnapshot(try row.get(0)) else {
      throw ReplicationError.outOfPlace("a snapshot that cannot be parsed")
    }
    return SourcePosition(
      snapshot: snapshot, inserted: try row.get(1), flushed: try row.get(2), lastEvent: try row.get(3),
      epoch: Int32(try row.get(4, as: Int.self)))
  }
}

/// Decides when the outbox may be read from the table instead of the WAL.
///
/// A commit is in the WAL before its rows are visible. The plan therefore notes an LSN, takes a transaction id, which
/// is higher than all ids assigned so far, and waits until every transaction with a lower id has ended. A snapshot
/// taken after that sees everything that was committed before the LSN. (A snapshot's own xmax is not sufficient: it is
/// only one above the last completed transaction, and a transaction with a higher id may already have its commit in
/// the WAL.) While a long transaction delays the plan, the stream continues, and may reach the LSN first.
struct CatchUpPlan {
  /// The LSN at which the stream resumes after the catch-up.
  let start: LogSequenceNumber
  private let bound: UInt64
  private(set) var isReady = false

  /// - Parameter bound: A transaction id that was assigned after the position was noted.
  init(at source: SourcePosition, bound: UInt64) { (start, self.bound) = (source.flushed, bound) }

  static func make(at source: SourcePosition, _ session: PostgresSession) async throws -> CatchUpPlan {
    CatchUpPlan(at: source, bound: try await transactionID(session))
  }

  /// An id that is higher than all that were assigned before.
  static func transactionID(_ session: PostgresSession) async throws -> UInt64 {
    let number = try await session.execute("select pg_current_xact_id()", name: "taking a transaction id")
      .first?.first.flatMap { $0 }.flatMap { UInt64($0) }
    guard let number else { throw ReplicationError.outOfPlace("no transaction id") }
    return number
  }

  /// Checks a newer position of the source.
  mutating func observe(_ source: SourcePosition) {
    if source.snapshot.xmin > bound { isReady = true }
  }
}
