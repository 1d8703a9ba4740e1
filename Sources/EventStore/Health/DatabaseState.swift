public import Postgres
import Schema

/// Settings of a database server that an event store and its relay depend on.
public struct ServerState: Sendable {
  public let version: Int
  public let walLevel: String
  public let replicationSlots: Int
  public let walSenders: Int
  /// True if the current role has the REPLICATION attribute.
  public let mayReplicate: Bool

  static let query = Query("server_settings", Schema.serverSettings)

  public static func read(over pool: PostgresPool) async throws(PostgresError) -> ServerState {
    try first(of: try await pool.query(query))
  }

  /// As the session's role sees it.
  public static func read(_ session: PostgresSession) async throws(PostgresError) -> ServerState {
    try first(of: try await session.query(query))
  }

  private static func first(of rows: Rows) throws(PostgresError) -> ServerState {
    guard let row = rows.first else { throw .decoding(column: 0, expected: "there") }
    return ServerState(
      version: try row.get(0), walLevel: try row.get(1), replicationSlots: try row.get(2), walSenders: try row.get(3),
      mayReplicate: try row.get(4))
  }
}

/// A long transaction, which keeps events from getting their log index (G2). A prepared one has no process: 0.
public struct LongTransaction: Sendable {
  public let processID: Int
  public let seconds: Int
  public let application: String
  public let query: String

  static let oldest = Query("oldest_transaction", Schema.oldestTransaction)
  static let seesOthers = Query("sees_others_queries", Schema.seesOthersQueries)

  /// False if the role does not see the transactions of others.
  public static func areAllVisible(_ session: PostgresSession) async throws(PostgresError) -> Bool {
    try await session.query(seesOthers).first.map { row throws(PostgresError) in try row.get(0) } ?? false
  }

  /// The age of the oldest transaction that writes, in seconds; 0 if there is none.
  static func age(of pool: PostgresPool) async throws(PostgresError) -> Double {
    try await pool.query(oldest, [.double(0)]).first.map { row throws(PostgresError) in try row.get(1) } ?? 0
  }

  /// The oldest transaction that has run for longer than `age`, in seconds; nil if there is none.
  public static func oldest(
    atLeast age: Double, _ session: PostgresSession
  ) async throws(PostgresError) -> LongTransaction? {
    guard let row = try await session.query(oldest, [.double(age)]).first else { return nil }
    return LongTransaction(
      processID: try row.get(0), seconds: Int(try row.get(1, as: Double.self)), application: try row.get(2),
      query: try row.get(3))
  }
}
