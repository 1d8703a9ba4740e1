/// A failed statement or connection.
public enum PostgresError: Error, Equatable, Sendable {
  /// No connection could be made.
  case connecting(host: String, reason: String)
  /// The connection broke. Pending statements may or may not have been executed.
  case connectionLost(host: String, reason: String)
  /// The server refused a statement. Its whole transaction was rolled back.
  case server(ServerError)
  case timedOut(host: String, operation: String, after: Duration)
  /// The connection has its maximum number of waiting calls.
  case overloaded(host: String, waiting: Int)
  case closed(host: String)
  case cancelled
  /// A column is missing, null, or not of the requested type.
  case decoding(column: Int, expected: String)

  /// The fields of a server's error (PostgreSQL documentation, “Error and Notice Message Fields”).
  public struct ServerError: Equatable, Sendable {
    public let sqlState: String
    public let message: String
    public let detail: String?
    public let hint: String?
    public let constraint: String?
    /// The query's name. Its parameters are never included.
    public let query: String
    /// The function of the server's source that reported the error.
    public let routine: String?

    public init(
      sqlState: String, message: String, detail: String?, hint: String?, constraint: String?, query: String,
      routine: String? = nil
    ) {
      self.routine = routine
      (self.sqlState, self.message, self.detail) = (sqlState, message, detail)
      (self.hint, self.constraint, self.query) = (hint, constraint, query)
    }
  }

  /// True if the same call may succeed later. This includes a lost connection: the caller must know whether its
  /// statement may run twice.
  public var isRetriable: Bool {
    switch self {
    case .connecting, .connectionLost, .timedOut, .overloaded: true
    // Serialization failure, deadlock, too many connections, shutdown or start-up, statement time-out, lock time-out.
    case .server(let error):
      ["40001", "40P01", "53300", "57P01", "57P02", "57P03", "57014", "55P03"].contains(error.sqlState)
    case .closed, .cancelled, .decoding: false
    }
  }

  /// True if a prepared statement does not exist (26000), exists already (42P05: another client of a pooler's session made
  /// it) or its plan does not fit any more (0A000, after a change of a
  /// table). Nothing of its transaction was executed.
  var isStaleStatement: Bool {
    guard case .server(let error) = self else { return false }
    // The server's function tells this case of 0A000 (feature_not_supported) from all others, as in pgjdbc.
    return ["26000", "42P05"].contains(error.sqlState)
      || error.sqlState == "0A000" && error.routine == "RevalidateCachedQuery"
  }
}

extension PostgresError: CustomStringConvertible {
  /// For logs and operators only: it may contain the server's text.
  public var description: String {
    switch self {
    case .connecting(let host, let reason):
      "Postgres at \(host) cannot be reached: \(reason). Is it running, and is ANNALS_POSTGRES_URL right?"
    case .connectionLost(let host, let reason): "the connection to Postgres at \(host) broke: \(reason)"
    case .server(let error):
      "Postgres refused \(error.query): \(error.message) (\(error.sqlState))"
        + (error.detail.map { "; \($0)" } ?? "") + (error.hint.map { "; \($0)" } ?? "")
    case .timedOut(let host, let operation, let after):
      "Postgres at \(host) did not finish \(operation) within \(after)"
    case .overloaded(let host, let waiting): "\(waiting) calls wait for Postgres at \(host); no more are accepted"
    case .closed(let host): "the connection to Postgres at \(host) is closed"
    case .cancelled: "the wait for Postgres was cancelled"
    case .decoding(let column, let expected): "column \(column) is not \(expected)"
    }
  }
}
