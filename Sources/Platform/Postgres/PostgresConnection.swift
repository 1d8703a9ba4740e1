import CLibpq
public import Logging
public import Reactor

/// One connection in libpq's pipeline mode, shared by many tasks. Statements are sent without waiting for earlier
/// results, and those of one turn of the loop with one write.
///
/// Each call is a transaction of its own. A failed call does not affect other calls in the pipeline.
public actor PostgresConnection {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  public nonisolated let host: String
  private let options: PostgresOptions
  private let logger: Logger
  private let handle: Handle
  private var watch: Watch?
  private var endOfTurn: EndOfTurn?
  private var watchdog: LoopTimer?
  private var pipeline = Pipeline()
  /// The names under which statements are prepared on the server, by their own names.
  private var prepared: [String: String] = [:]
  /// How often a statement had to be prepared again under another name.
  private var renewals: [String: Int] = [:]
  private var hasUnsent = false
  private var failure: PostgresError?
  private var onClose: [CheckedContinuation<PostgresError, Never>] = []
  private var channels: [String: [@Sendable () -> Void]] = [:]

  static let maximumWaiting = 8_192
  /// Bytes of parameters of calls that wait. A single call may be larger.
  static let maximumBytes = 64 << 20

  public static func connect(
    _ options: PostgresOptions, on reactor: Reactor, logger: Logger
  ) async throws(PostgresError) -> PostgresConnection {
    let box = try await Postgres.connect(options, on: reactor)
    let connection = PostgresConnection(handle: box.take(), options: options, reactor: reactor, logger: logger)
    try await connection.enterPipeline()
    return connection
  }

  private init(handle: consuming sending Handle, options: PostgresOptions, reactor: Reactor, logger: Logger) {
    host = handle.host
    self.handle = handle
    (self.options, self.reactor, self.logger) = (options, reactor, logger)
  }

  private func enterPipeline() throws(PostgresError) {
    guard PQenterPipelineMode(handle.pointer) == 1 else {
      throw .connecting(host: host, reason: handle.problem)
    }
    handle.sendNotices(to: logger)
    do {
      watch = try reactor.watch(PQsocket(handle.pointer), for: .readable, label: "postgres") { ready in
        self.assumeIsolated { $0.ready(ready) }
      }
    } catch { throw .connecting(host: host, reason: "\(error)") }
    endOfTurn = reactor.atEndOfTurn { [weak self] in
      self?.assumeIsolated { $0.flush() }
      return false
    }
    watchdog = reactor.timer(label: "postgres watchdog") { [weak self] in
      self?.assumeIsolated { $0.watchOver() }
    }
    watchdog?.start(after: .seconds(1), every: .seconds(1))
  }

  // MARK: Statements

  /// The number of calls that wait for their results.
  public var waiting: Int { pipeline.count }

  /// The number of calls that wait, and the age of the oldest one. Asked on the loop.
  nonisolated var load: (waiting: Int, age: Duration) {
    assumeIsolated { ($0.pipeline.count, $0.pipeline.oldest.map { .now - $0 } ?? .zero) }
  }

  /// Runs one statement.
  @discardableResult
  public func query(_ query: Query, _ parameters: [Parameter] = []) async throws(PostgresError) -> Rows {
    guard let rows = try await transaction([(query, parameters)]).first else {
      throw .connectionLost(host: host, reason: "no result of \(query.name)")
    }
    return rows
  }

  /// Runs statements as one transaction, in one round trip: all of them happen, or none.
  ///
  /// A cancelled task gets `cancelled` immediately. Its statements may still be executed.
  @discardableResult
  public func transaction(
    _ statements: [(query: Query, parameters: [Parameter])]
  ) async throws(PostgresError) -> [Rows] {
    if let failure { throw failure }
    var tries = 0
    while true {
      let bytes = statements.reduce(0) { $0 + $1.parameters.reduce(0) { $0 + $1.byteCount } }
      guard pipeline.count < Self.maximumWaiting, pipeline.bytes + bytes <= Self.maximumBytes || pipeline.isEmpty else {
        throw .overloaded(host: host, waiting: pipeline.count)
      }
      if Task.isCancelled { throw .cancelled }
      let number = pipeline.nextNumber
      let result = await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in send(statements, bytes, continuation) }
      } onCancel: {
        reactor.post { self.assumeIsolated { $0.pipeline.abandon(number) } }
      }
      tries += 1
      // Nothing of the transaction was executed, and the statement has been renewed: once more is safe.
      if case .failure(let error) = result, error.isStaleStatement, failure == nil, tries < Self.maximumTries {
        continue
      }
      return try result.get()
    }
  }

  /// More than two: a renewed statement may be stale again if a transaction before it fails while it is prepared.
  private static let maximumTries = 4

  private func send(
    _ statements: [(query: Query, parameters: [Parameter])], _ bytes: Int,
    _ continuation: CheckedContinuation<Result<[Rows], PostgresError>, Never>
  ) {
    var steps: [Pipeline.Step] = []
    steps.reserveCapacity(statements.count * 2)
    var wasSent = true
    for (query, parameters) in statements {
      let name = options.preparesStatements && !query.name.isEmpty ? serverName(of: query.name) : ""
      if !name.isEmpty, prepared[query.name] != name {
        prepared[query.name] = name
        wasSent = wasSent && PQsendPrepare(handle.pointer, name, query.text, 0, nil) == 1
        steps.append(.prepare(query.name))
      }
      wasSent =
        wasSent
        && EncodedParameters(parameters).withPointers { count, values, lengths, formats in
          name.isEmpty
            ? PQsendQueryParams(handle.pointer, query.text, count, nil, values, lengths, formats, 1)
            : PQsendQueryPrepared(handle.pointer, name, count, values, lengths, formats, 1)
        } == 1
      steps.append(.execute(query.name))
    }
    wasSent = wasSent && PQpipelineSync(handle.pointer) == 1
    pipeline.append(steps, bytes: bytes, continuation, at: .now)
    hasUnsent = true
    if !wasSent { fail(.connectionLost(host: host, reason: handle.problem)) }
  }

  private func serverName(of name: String) -> String {
    guard let count = renewals[name] else { return name }
    return "\(name)#\(count)"
  }

  /// The statement cannot be used any more under its name: it was not prepared after all, because its transaction failed
  /// before that, or the server does not accept its plan any more. The next call prepares it under another name.
  private func renew(_ name: String) {
    guard prepared.removeValue(forKey: name) != nil else { return }
    renewals[name, default: 0] += 1
  }

  // MARK: Readiness

  private func ready(_ ready: Readiness) {
    guard failure == nil else { return }
    if ready.contains(.writable) {
      hasUnsent = true
      flush()
    }
    guard ready.contains(.readable) else { return }
    guard PQconsumeInput(handle.pointer) == 1 else {
      return fail(.connectionLost(host: host, reason: handle.problem))
    }
    takeResults()
    takeNotifications()
  }

  private func flush() {
    guard hasUnsent, failure == nil else { return }
    hasUnsent = false
    switch PQflush(handle.pointer) {
    case 0: watch?.update(.readable)
    case 1: watch?.update([.readable, .writable])
    default: fail(.connectionLost(host: host, reason: handle.problem))
    }
  }

  private func takeResults() {
    while !pipeline.isEmpty, PQisBusy(handle.pointer) == 0 {
      guard let result = PQgetResult(handle.pointer) else {
        // After a loss of synchronization libpq gives no results for ever.
        if PQstatus(handle.pointer) == CONNECTION_BAD {
          return fail(.connectionLost(host: host, reason: handle.problem))
        }
        pipeline.stepEnded()
        continue
      }
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_PIPELINE_SYNC: pipeline.synchronized(at: .now)
      case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: pipeline.succeeded { Rows(copying: result) }
      case PGRES_PIPELINE_ABORTED:
        if let name = pipeline.failed(nil) { renew(name) }
      default:
        let query = pipeline.currentQuery
        let error = PostgresError.server(.init(result: result, query: query))
        if let name = pipeline.failed(error) { renew(name) } else if error.isStaleStatement { renew(query) }
      }
    }
    if pipeline.isEmpty, PQstatus(handle.pointer) == CONNECTION_BAD {
      fail(.connectionLost(host: host, reason: handle.problem))
    }
  }

  /// Closes the connection if its oldest call is older than the server's own time-out plus 5 s.
  private func watchOver() {
    guard let since = pipeline.oldestIsRunSince, ContinuousClock.now - since > options.statementTimeout + options.margin
    else {
      return
    }
    fail(
      .timedOut(host: host, operation: pipeline.currentQuery, after: options.statementTimeout + options.margin))
  }

  // MARK: Notifications

  /// Listens on a channel. Calls `body` on the loop once for each batch of notifications, without their payload. The
  /// channel's name is a constant of this program, never input.
  public func listen(_ channel: StaticString, _ body: @escaping @Sendable () -> Void) async throws(PostgresError) {
    channels["\(channel)", default: []].append(body)
    try await query(Query("", "listen \(channel)"))
  }

  private func takeNotifications() {
    var heard: Set<String> = []
    while let notification = PQnotifies(handle.pointer) {
      heard.insert(String(cString: notification.pointee.relname))
      PQfreemem(notification)
    }
    for channel in heard { for body in channels[channel] ?? [] { body() } }
  }

  // MARK: End

  /// Throws the reason if the connection is broken or closed.
  public func check() throws(PostgresError) {
    if let failure { throw failure }
  }

  /// Waits until the connection is closed or breaks, and returns the reason.
  public func ended() async -> PostgresError {
    await withCheckedContinuation { continuation in
      if let failure { continuation.resume(returning: failure) } else { onClose.append(continuation) }
    }
  }

  /// Closes immediately. Waiting calls fail.
  public func close() { fail(.closed(host: host)) }

  private func fail(_ error: PostgresError) {
    guard failure == nil else { return }
    failure = error
    watch?.cancel()
    endOfTurn?.cancel()
    watchdog?.cancel()
    (watch, endOfTurn, watchdog) = (nil, nil, nil)
    pipeline.failAll(error)
    for continuation in onClose { continuation.resume(returning: error) }
    onClose = []
  }
}
