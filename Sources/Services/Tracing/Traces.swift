public import Configuration
import EventStore
import Glibc
import HTTPClient
import Lifecycle
import Logging
import Postgres
import Reactor
import Synchronization
import Tracing

/// Traces by OpenTelemetry: spans of requests, and of what follows from them, in every process.
public struct Traces: Feature {
  public let name = "traces"

  public init() {}

  public var settings: [SettingDescription] { TracingSettings.all }

  /// It has a connection of its own, once there is something to keep.
  public var connections: Connections { [] }

  public func workers(_ context: Context) throws -> [any Worker] { [TraceExport(context)] }
}

/// Takes the process's spans and hands them on: to a collector, and to Postgres. Neither holds up the other, or a request.
final class TraceExport: Worker {
  let name = "traces"
  /// Whoever cannot tell of his work does it all the same.
  let isRequired = false
  private let context: Context
  private let logger: Logger
  private let state = Mutex<(collector: String?, kept: String?)>((nil, nil))

  private static let (pause, tidying) = (Duration.milliseconds(500), Duration.seconds(60))
  /// Spans of one request to the collector, and how often it is sent.
  private static let (page, tries) = (512, 4)
  private static let timeout = Duration.seconds(10)

  init(_ context: Context) {
    self.context = context
    logger = context.logger.labelled("traces")
  }

  var problem: String? { get async { state.withLock { $0.collector ?? $0.kept } } }

  private var tracer: Tracer { context.tracer }

  static func isOn(_ settings: Configuration) -> Bool {
    !settings[TracingSettings.url].isEmpty || settings[TracingSettings.keep] > .zero
  }

  /// `Name: value`.
  static func header(_ line: some StringProtocol) -> (name: String, value: String)? {
    guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else { return nil }
    return (String(line[..<colon]), String(line[line.index(after: colon)...].drop { $0 == " " }))
  }

  func run(until stop: StopSignal) async throws {
    let bell = Doorbell(on: context.reactor)
    tracer.whenMany { [reactor = context.reactor] in reactor.post { bell.ring() } }
    let pool = PostgresPool(
      PostgresOptions(pooled: context.settings), on: context.reactor, logger: context.logger,
      metrics: context.metrics)
    let sending = Doorbell(on: context.reactor)
    let working = Task(executorPreference: context.reactor) { [self] in
      await context.reactor.run {
        await withTaskGroup { group in
          group.addTask(executorPreference: self.context.reactor) { await self.keep(bell, pool, sending) }
          group.addTask(executorPreference: self.context.reactor) { await self.send(sending) }
        }
      }
    }
    await stop.wait()
    working.cancel()
    await working.value
    // What the last requests have left.
    await context.reactor.run {
      let spans = allowed(tracer.take())
      await keep(spans, pool)
      outgoing.withLock { $0 += spans }
      await send(tries: 1)
    }
    await pool.close()
  }

  /// What waits for the collector.
  private let outgoing = Mutex<[Span]>([])

  private func keep(_ bell: Doorbell, _ pool: PostgresPool, _ sending: Doorbell) async {
    var tidied = ContinuousClock.now
    while !Task.isCancelled {
      if await bell.wait(timeout: Self.pause) == .cancelled { return }
      let spans = allowed(tracer.take())
      if !context.settings[TracingSettings.url].isEmpty, !spans.isEmpty {
        let dropped = outgoing.withLock { outgoing in
          let room = max(0, Tracer.limit - outgoing.count)
          outgoing += spans.prefix(room)
          return max(0, spans.count - room)
        }
        if dropped > 0 { tracer.drop(dropped) }
        sending.ring()
      }
      await keep(spans, pool)
      guard ContinuousClock.now - tidied > Self.tidying else { continue }
      do {
        tidied = .now
        guard let pool = try await connected(pool, isNeeded: false) else { continue }
        while try await KeptSpans(pool).forget(olderThan: context.settings[TracingSettings.keep]) {}
        state.withLock { $0.kept = nil }
      } catch { note(kept: error) }
    }
  }

  // MARK: A collector

  private func send(_ bell: Doorbell) async {
    while !Task.isCancelled {
      if await bell.wait() == .cancelled { return }
      await send(tries: Self.tries)
    }
  }

  private func send(tries: Int) async {
    var target = context.settings[TracingSettings.url]
    while target.hasSuffix("/") { target.removeLast() }
    let headers = context.settings[TracingSettings.headers].split(whereSeparator: \.isNewline)
      .compactMap { Self.header($0) }
    while true {
      let part = outgoing.withLock { outgoing in
        defer { outgoing = Array(outgoing.dropFirst(Self.page)) }
        return Array(outgoing.prefix(Self.page))
      }
      guard !part.isEmpty, !target.isEmpty else { return }
      let request = HTTPRequest(
        .post, target + "/v1/traces", headers: [("Content-Type", "application/x-protobuf")] + headers,
        body: OTLP.export(part, resource: resource, version: context.version), timeout: Self.timeout,
        maximumResponse: 1 << 20)
      let problem = await send(request, tries: tries)
      if problem != nil { tracer.drop(part.count) }
      let was = state.withLock { state in
        defer { state.collector = problem == nil ? nil : "spans cannot be sent to the collector: the log says why" }
        return state.collector
      }
      if let problem, was == nil { logger.warning("Spans cannot be sent", metadata: [.error: "\(problem)"]) }
    }
  }

  /// - Returns: Why it was not taken; nil: it was.
  private func send(_ request: HTTPRequest, tries: Int) async -> String? {
    var backoff = Backoff(first: .milliseconds(500), limit: .seconds(5))
    while true {
      let problem: String
      do {
        let response = try await context.http.send(request)
        if response.isSuccess { return nil }
        problem = "it answered \(response.status)"
        // Those that OTLP says may be sent again.
        guard [429, 502, 503, 504].contains(response.status) else { return problem }
      } catch {
        problem = error.reason
        guard error.isRetriable else { return problem }
      }
      guard backoff.attempts < tries - 1, !Task.isCancelled else { return problem }
      do { try await context.reactor.sleep(for: backoff.next()) } catch { return problem }
    }
  }

  private var resource: [(name: String, value: Span.Value)] {
    [
      ("service.name", "annals"), ("service.version", .text(context.version)),
      ("service.instance.id", .text(Self.process)), ("process.pid", .number(Int64(getpid()))),
    ]
  }

  /// The process, as its spans name it: host and number.
  static let process: String = {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return "\(name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }):\(getpid())"
  }()

  // MARK: Postgres

  /// The process's own connections; where it has none, one that is made when there is something to keep.
  private func connected(_ own: PostgresPool, isNeeded: Bool) async throws -> PostgresPool? {
    if await context.pool.isStarted { return context.pool }
    if await own.isStarted { return own }
    guard isNeeded else { return nil }
    try await own.start(connections: 1)
    return own
  }

  private func keep(_ spans: [Span], _ pool: PostgresPool) async {
    guard context.settings[TracingSettings.keep] > .zero, !spans.isEmpty else { return }
    do {
      guard let pool = try await connected(pool, isNeeded: true) else { return }
      try await KeptSpans(pool).keep(spans, of: Self.process)
      state.withLock { $0.kept = nil }
    } catch {
      tracer.drop(spans.count)
      note(kept: error)
    }
  }

  private func note(kept error: any Error) {
    if state.withLock({ $0.kept }) == nil {
      logger.warning("Spans cannot be kept in Postgres", metadata: [.error: "\(error)"])
    }
    state.withLock { $0.kept = "spans cannot be kept in Postgres: the log says why" }
  }

  // MARK: How many

  /// How many may be handed on now: those of a minute at once, then as they come again.
  private let allowance = Mutex<(left: Double, at: ContinuousClock.Instant)?>(nil)

  private func allowed(_ spans: [Span]) -> [Span] {
    guard !spans.isEmpty else { return [] }
    let rate = Double(context.settings[TracingSettings.rate])
    let count = allowance.withLock { allowance in
      let now = ContinuousClock.now
      let (left, at) = allowance ?? (rate * 60, now)
      let passed = (now - at).components
      let present = min(rate * 60, left + rate * (Double(passed.seconds) + Double(passed.attoseconds) / 1e18))
      let taken = min(spans.count, Int(present))
      allowance = (present - Double(taken), now)
      return taken
    }
    if count < spans.count { tracer.drop(spans.count - count) }
    return Array(spans.prefix(count))
  }
}
