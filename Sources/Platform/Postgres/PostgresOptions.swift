/// The address of a database, and the connection's settings.
public struct PostgresOptions: Sendable {
  /// A connection string of libpq: `postgresql://user@host:5432/name?sslmode=verify-full` or keywords and values.
  public var url: String {
    get { source() }
    set { source = { newValue } }
  }
  /// Asked for each connection: a password may be changed.
  public var source: @Sendable () -> String
  /// Shown in pg_stat_activity.
  public var applicationName: String
  public var connectTimeout: Duration
  /// Time-out of a statement on the server.
  public var statementTimeout: Duration
  /// How much later the client gives up.
  public var margin = Duration.seconds(5)
  /// Prepares each statement once per connection. Turn it off with a PgBouncer that has no `max_prepared_statements`.
  public var preparesStatements: Bool
  /// Sets the statement time-out and the text forms of values by the start-up parameter `options`, which PgBouncer
  /// refuses.
  public var setsSession: Bool

  public init(
    url: String, applicationName: String = "annals", connectTimeout: Duration = .seconds(5),
    statementTimeout: Duration = .seconds(30), preparesStatements: Bool = true,
    setsSession: Bool = true
  ) {
    source = { url }
    self.applicationName = applicationName
    self.connectTimeout = connectTimeout
    self.statementTimeout = statementTimeout
    self.preparesStatements = preparesStatements
    self.setsSession = setsSession
  }
}

/// A named statement. Connections prepare it under its name, so two texts must not share a name.
public struct Query: Sendable {
  public let name: String
  public let text: String

  public init(_ name: String, _ text: String) { (self.name, self.text) = (name, text) }
}
