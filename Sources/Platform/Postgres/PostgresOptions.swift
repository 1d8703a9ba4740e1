/// Where a database is and how to talk to it.
public struct PostgresOptions: Sendable {
  /// A connection string of libpq: `postgresql://user@host:5432/name?sslmode=verify-full` or keywords and values.
  public var url: String
  /// Shown in pg_stat_activity.
  public var applicationName: String
  public var connectTimeout: Duration
  /// After which the server ends a statement, and a little later this side gives up on the connection.
  public var statementTimeout: Duration
  /// Whether statements are prepared once for each connection. Not through a PgBouncer older than 1.21.
  public var preparesStatements: Bool

  public init(
    url: String, applicationName: String = "annals", connectTimeout: Duration = .seconds(5),
    statementTimeout: Duration = .seconds(30), preparesStatements: Bool = true
  ) {
    self.url = url
    self.applicationName = applicationName
    self.connectTimeout = connectTimeout
    self.statementTimeout = statementTimeout
    self.preparesStatements = preparesStatements
  }
}

/// A statement under a name, by which connections remember that they have prepared it. One name, one text.
public struct Query: Sendable {
  public let name: String
  public let text: String

  public init(_ name: String, _ text: String) { (self.name, self.text) = (name, text) }
}
