public import Identifiers
public import Postgres
import Schema

/// The identity of a log, and the epoch of its storage.
public struct LogIdentity: Equatable, Sendable {
  /// Stays the same through dumps, copies and failovers.
  public let id: UUID
  /// Rises whenever the log is adopted by another server: transaction ids mean something in one epoch only.
  public let epoch: Int32

  static let query = Query("log_identity", Schema.logIdentity)
  static let adoption = Query("adopt_server", Schema.adoptServer)

  static func read(over pool: PostgresPool) async throws(PostgresError) -> LogIdentity {
    try first(of: try await pool.read(query))
  }

  /// Of the log that a session leads to.
  public static func read(_ session: PostgresSession) async throws(PostgresError) -> LogIdentity {
    try first(of: try await session.query(query))
  }

  private static func first(of rows: Rows) throws(PostgresError) -> LogIdentity {
    guard let row = rows.first else { throw .decoding(column: 0, expected: "the log's identity") }
    return LogIdentity(id: try row.get(0), epoch: Int32(try row.get(1, as: Int.self)))
  }

  /// Makes the session's server the log's: after a restore, a copy, an upgrade of the cluster or an import.
  ///
  /// - Returns: The new epoch, and the number of events without a log index, which have new positions now.
  /// - Throws: Also if prepared transactions, which may hold events, are in the way, or if writers do not stop in time.
  public static func adopt(_ session: PostgresSession) async throws(PostgresError) -> (epoch: Int, moved: Int) {
    try await session.execute("set statement_timeout = 0; set lock_timeout = '5s'", name: "setting time-outs")
    guard let row = try await session.query(adoption).first else { throw .decoding(column: 0, expected: "there") }
    return (try row.get(0), try row.get(1))
  }
}
