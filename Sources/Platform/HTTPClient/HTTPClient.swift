import CCurl
public import Metrics
public import Reactor

/// Requests over HTTP by libcurl on a reactor's loop. Connections are kept alive and shared by all requests here.
public actor HTTPClient {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let multi: Multi
  private let connectTimeout: Duration
  private let requests: Counter
  private let failures: Counter
  private var nextNumber = 0

  public init(
    on reactor: Reactor, connectTimeout: Duration = .seconds(2), maximumConnections: Int = 64,
    metrics: MetricsRegistry
  ) {
    (self.reactor, self.connectTimeout) = (reactor, connectTimeout)
    requests = metrics.counter(
      "annals_http_client_requests_total", ["reactor": reactor.name], help: "Requests sent to other servers.")
    failures = metrics.counter(
      "annals_http_client_failures_total", ["reactor": reactor.name], help: "Requests without a response.")
    multi = Multi(on: reactor, maximumConnections: maximumConnections)
  }

  /// Sends a request and collects the response. Every status is a response; only what kept one away is thrown.
  public func send(_ request: HTTPRequest) async throws(HTTPClientError) -> HTTPResponse {
    requests.increment()
    let number = nextNumber
    nextNumber += 1
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        multi.add(request, number: number, connectTimeout: connectTimeout, continuation)
      }
    } onCancel: {
      reactor.post { self.assumeIsolated { $0.multi.cancel(number) } }
    }
    if case .failure = result { failures.increment() }
    return try result.get()
  }

  /// Cancels what is under way and closes all connections.
  public func close() { multi.close() }
}
