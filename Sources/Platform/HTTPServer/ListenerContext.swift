import CMicrohttpd
import Metrics
import Reactor

/// What the exchanges of one listener share.
final class ListenerContext: @unchecked Sendable {  // unchecked: touched on the reactor's loop only
  let router: Router
  let reactor: Reactor
  let errorResponse: @Sendable (any Error, Request) -> Response
  var clients: [ObjectIdentifier: ClientConnection] = [:]
  /// A connection was resumed: libmicrohttpd has to run.
  var needsTurn = false
  var isDraining = false
  private let metrics: MetricsRegistry
  private let running: Gauge
  private var count = 0
  private var timers: [String: Histogram] = [:]
  private var counters: [Int: Counter] = [:]

  init(
    router: Router, reactor: Reactor, metrics: MetricsRegistry,
    errorResponse: @escaping @Sendable (any Error, Request) -> Response
  ) {
    (self.router, self.reactor, self.metrics, self.errorResponse) = (router, reactor, metrics, errorResponse)
    running = metrics.gauge(
      "annals_http_requests_running", ["reactor": reactor.name], help: "Requests whose handler runs.")
  }

  func wasResumed() { needsTurn = true }

  func began() {
    count += 1
    running.set(count)
  }

  func ended(route: Router.Route?, status: Int, after duration: Duration) {
    count -= 1
    running.set(count)
    let counter =
      counters[status]
      ?? metrics.counter("annals_http_responses_total", ["status": "\(status)"], help: "Responses by status.")
    counters[status] = counter
    counter.increment()
    guard let pattern = route?.pattern else { return }
    let timer =
      timers[pattern]
      ?? metrics.timer("annals_http_request_seconds", ["route": pattern], help: "From a whole request to its answer.")
    timers[pattern] = timer
    timer.record(duration)
  }
}

/// One TCP connection from a client.
final class ClientConnection {
  let descriptor: Int32
  var exchange: Exchange?
  /// Since when it has been idle, or sending its request.
  var since = ContinuousClock.now

  init(descriptor: Int32) { self.descriptor = descriptor }

  static func of(_ connection: OpaquePointer?) -> ClientConnection? {
    guard let context = annals_mhd_socket_context(connection) else { return nil }
    return Unmanaged<ClientConnection>.fromOpaque(context).takeUnretainedValue()
  }
}
