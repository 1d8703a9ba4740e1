import CMicrohttpd
import Glibc
import Metrics
import Reactor

/// State that the exchanges of one listener share.
final class ListenerContext: @unchecked Sendable {  // unchecked: used only on the reactor's loop
  let router: Router
  let reactor: Reactor
  let options: HTTPServerOptions
  let errorResponse: @Sendable (any Error, Request) -> Response
  var memory: BodyMemory
  var requestIDs = RequestIDs()
  var clients: [ObjectIdentifier: ClientConnection] = [:]
  /// True after a connection was resumed: libmicrohttpd must run.
  var needsTurn = false
  var isDraining = false
  /// The daemon is about to stop: no request starts any more.
  var isStopping = false
  private let metrics: MetricsRegistry
  private let running: Gauge
  private var count = 0
  private var timers: [String: Histogram] = [:]
  private var counters: [Int: Counter] = [:]

  init(
    options: HTTPServerOptions, router: Router, reactor: Reactor, metrics: MetricsRegistry,
    errorResponse: @escaping @Sendable (any Error, Request) -> Response
  ) {
    (self.router, self.reactor, self.metrics, self.errorResponse) = (router, reactor, metrics, errorResponse)
    (self.options, memory) = (options, BodyMemory(limit: options.bodyMemory))
    running = metrics.gauge(
      "annals_http_requests_running", ["reactor": reactor.name], help: "Requests whose handler is running.")
    metrics.declare(.counter, Self.responses, labels: ["status"], help: Self.responsesHelp)
    metrics.declare(.histogram, Self.duration, labels: ["route"], help: Self.durationHelp)
  }

  private static let responses = "annals_http_responses_total"
  private static let responsesHelp = "Responses, by status; refusals before a handler included."
  private static let duration = "annals_http_request_seconds"
  private static let durationHelp = "Time from the first line of a request to the head of its response, in seconds."

  func wasResumed() { needsTurn = true }

  // MARK: Connections that have left HTTP

  private var takers: [Int: Task<Void, Never>] = [:]
  private var nextTaker = 0
  var upgradedCount: Int { takers.count }
  var hasUpgraded: Bool { !takers.isEmpty }

  func upgraded(_ connection: UpgradedConnection, _ take: @escaping @Sendable (UpgradedConnection) async -> Void) {
    // libmicrohttpd closes its own descriptor in the next turn.
    wasResumed()
    let number = nextTaker
    nextTaker += 1
    takers[number] = Task(executorPreference: reactor) {
      await take(connection)
      self.reactor.post { self.takers[number] = nil }
    }
  }

  func cancelUpgraded() { for taker in takers.values { taker.cancel() } }

  func began() {
    count += 1
    running.set(count)
  }

  func ended() {
    count -= 1
    running.set(count)
  }

  var observe: (@Sendable (AnsweredRequest) -> Void)? { options.observe }

  func answered(route: Router.Route?, status: Int, after duration: Duration) {
    let counter =
      counters[status]
      ?? metrics.counter(Self.responses, ["status": "\(status)"], help: Self.responsesHelp)
    counters[status] = counter
    counter.increment()
    guard let label = route?.label else { return }
    let timer = timers[label] ?? metrics.timer(Self.duration, ["route": label], help: Self.durationHelp)
    timers[label] = timer
    timer.record(duration)
  }
}

/// One TCP connection from a client.
final class ClientConnection: @unchecked Sendable {  // unchecked: used only on the reactor's loop
  let descriptor: Int32
  /// The client's IP address.
  let address: String
  var exchange: Exchange?
  /// Bytes that were given to the kernel until the last look at the client.
  private var given = 0
  /// Time at which the connection was opened, or its last request finished.
  var since = ContinuousClock.now

  init(descriptor: Int32) {
    self.descriptor = descriptor
    address = ListeningAddress.peer(of: descriptor)
  }

  /// Bytes have arrived that nobody has read.
  var hasSentMore: Bool {
    var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&state, 1, 0) > 0, state.revents & Int16(POLLIN) != 0 else { return false }
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 1
  }

  /// Bytes that the client has acknowledged.
  var taken: Int { annals_bytes_acked(descriptor) }

  /// True if the client has taken everything that was on its way at the last look.
  func keepsUp() -> Bool {
    let taken = taken
    let onItsWay = annals_unsent(descriptor)
    defer { given = taken + onItsWay }
    return onItsWay == 0 || taken >= given
  }

  static func of(_ connection: OpaquePointer?) -> ClientConnection? {
    guard let context = annals_mhd_socket_context(connection) else { return nil }
    return Unmanaged<ClientConnection>.fromOpaque(context).takeUnretainedValue()
  }
}
