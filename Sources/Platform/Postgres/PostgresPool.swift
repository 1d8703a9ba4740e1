public import Logging
public import Metrics
public import Reactor
public import Resilience

/// A fixed number of connections on one reactor. Each reconnects with growing delays after a break.
///
/// Without any connection, a call fails immediately, so that its caller can still answer in time.
public actor PostgresPool {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  /// Its state, as all calls have found it.
  public nonisolated let dependency: Dependency
  private let options: PostgresOptions
  private let logger: Logger
  private var connections: [PostgresConnection] = []
  private var keepers: [Task<Void, Never>] = []
  private var lastError: PostgresError?
  private var next = 0
  private let connected: Gauge
  private let reconnects: Counter

  public init(_ options: PostgresOptions, on reactor: Reactor, logger: Logger, metrics: MetricsRegistry) {
    (self.options, self.reactor, self.logger) = (options, reactor, logger.labelled("postgres"))
    // Each connection bounds what waits for it, in calls and in bytes. A statement is not sent twice.
    dependency = Dependency(
      "Postgres",
      ResiliencePolicy(timeout: options.statementTimeout + options.margin, maximumCalls: 65_536), reactor: reactor.name,
      logger: logger, metrics: metrics)
    connected = metrics.gauge(
      "annals_postgres_connections", ["reactor": reactor.name], help: "Open connections to Postgres.")
    reconnects = metrics.counter(
      "annals_postgres_reconnects_total", ["reactor": reactor.name], help: "Connections to Postgres that broke.")
  }

  /// Connects, and reconnects until `close`. Throws if the first connection fails, but keeps trying.
  public func start(connections count: Int) async throws(PostgresError) {
    let first: PostgresConnection?
    do { first = try await PostgresConnection.connect(options, on: reactor, logger: logger) } catch {
      lastError = error
      first = nil
    }
    if let first { connections.append(first) }
    for index in 0..<count {
      let initial = index == 0 ? first : nil
      keepers.append(Task { await keep(initial) })
    }
    if first == nil, let lastError { throw lastError }
  }

  /// It connects, or has connected.
  public var isStarted: Bool { !keepers.isEmpty }

  /// Keeps one connection open until the pool is closed.
  private func keep(_ initial: PostgresConnection?) async {
    var backoff = Backoff()
    var connection = initial
    while !Task.isCancelled {
      do {
        if connection == nil { connection = try await PostgresConnection.connect(options, on: reactor, logger: logger) }
        guard let established = connection else { continue }
        if Task.isCancelled {
          // The pool was closed while this connection was being opened, so `close` did not see it.
          await established.close()
          return
        }
        let start = ContinuousClock.now
        if !connections.contains(where: { $0 === established }) { connections.append(established) }
        connected.set(connections.count)
        let reason = await established.ended()
        connections.removeAll { $0 === established }
        connected.set(connections.count)
        connection = nil
        lastError = reason
        if case .closed = reason { return }
        reconnects.increment()
        logger.warning("Connection to Postgres lost", metadata: [.host: established.host, .error: "\(reason)"])
        do { try await reactor.sleep(for: backoff.next(afterLife: .now - start)) } catch { return }
      } catch {
        lastError = error
        let delay = backoff.next()
        logger.warning(
          "Postgres cannot be reached",
          metadata: [.error: "\(error)", .attempt: "\(backoff.attempts)", .delay: "\(delay)"])
        do { try await reactor.sleep(for: delay) } catch { return }
      }
    }
  }

  /// Returns the connections in turn (round-robin).
  private func pick() async throws(PostgresError) -> PostgresConnection {
    guard !connections.isEmpty else {
      // Not the time-out that ended the last connection: this call has asked nobody.
      if case .connecting(let host, let reason) = lastError { throw .connecting(host: host, reason: reason) }
      throw .connecting(
        host: "its configured address", reason: lastError.map { "\($0)" } ?? "not connected yet")
    }
    next = (next + 1) % connections.count
    return connections[next]
  }

  /// Calls on one connection beyond which short reads use the next one.
  static let deepest = 24
  /// Age of a call beyond which a connection counts as busy: it runs something long.
  static let longCall = Duration.milliseconds(5)

  /// The first connection that is not busy. Many short reads on one connection cost less than on several: the server's
  /// process is awake already, and takes them together.
  private func pickForReading() async throws(PostgresError) -> PostgresConnection {
    for connection in connections {
      let load = connection.load
      if load.waiting < Self.deepest, load.age < Self.longCall { return connection }
    }
    return try await pick()
  }

  /// Runs one short statement that only reads.
  @discardableResult
  public func read(_ query: Query, _ parameters: [Parameter] = []) async throws(PostgresError) -> Rows {
    try await call { () async throws(PostgresError) in try await pickForReading().query(query, parameters) }
  }

  /// Runs one statement.
  @discardableResult
  public func query(_ query: Query, _ parameters: [Parameter] = []) async throws(PostgresError) -> Rows {
    try await call { () async throws(PostgresError) in try await pick().query(query, parameters) }
  }

  /// Runs statements as one transaction, in one round trip.
  @discardableResult
  public func transaction(
    _ statements: [(query: Query, parameters: [Parameter])]
  ) async throws(PostgresError) -> [Rows] {
    try await call { () async throws(PostgresError) in try await pick().transaction(statements) }
  }

  private func call<Value>(_ body: () async throws(PostgresError) -> Value) async throws(PostgresError) -> Value {
    try await dependency.call(
      isRepeatable: false,
      outcome: { (error: PostgresError) in
        switch error {
        case .timedOut: .failed
        case .server, .decoding: .answered
        // A lost connection is made again by itself, and calls fail at once until then.
        case .connecting, .connectionLost, .overloaded, .closed, .cancelled: .abandoned
        }
      }, refused: { .connecting(host: "its configured address", reason: "\($0)") }, body)
  }

  /// Closes all connections and waits for the tasks that kept them open.
  public func close() async {
    for keeper in keepers { keeper.cancel() }
    for connection in connections { await connection.close() }
    for keeper in keepers { await keeper.value }
    keepers = []
  }
}
