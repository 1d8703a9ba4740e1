import CCurl
public import Metrics
public import Reactor

/// An HTTP client: libcurl on a reactor's loop. All requests share its kept-alive connections.
public actor HTTPClient {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let multi: Multi
  private let connectTimeout: Duration
  private let requests: Counter
  private let failures: Counter
  private var nextNumber = 0

  /// - Parameters:
  ///   - peers: Whose servers it asks. Clients of others share no connection.
  ///   - authorities: A file of certificates in PEM, which are trusted beside the system's. It is read at each connection.
  public init(
    on reactor: Reactor, to peers: Peers = .own, trusting authorities: String? = nil,
    connectTimeout: Duration = .seconds(2),
    maximumConnections: Int = 64, metrics: MetricsRegistry
  ) {
    (self.reactor, self.connectTimeout) = (reactor, connectTimeout)
    requests = metrics.counter(
      "annals_http_client_requests_total", ["reactor": reactor.name], help: "HTTP requests sent to other servers.")
    failures = metrics.counter(
      "annals_http_client_failures_total", ["reactor": reactor.name], help: "HTTP requests that got no response.")
    multi = Multi(on: reactor, to: peers, trusting: authorities, maximumConnections: maximumConnections)
  }

  /// Sends a request and returns the response, whatever its status. Throws if there is no complete response.
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

  /// Starts a request whose bodies are streamed.
  ///
  /// - Parameter bodyLength: Of the request's body, in bytes; nil: it has none. `request.body` is not used.
  public func open(_ request: HTTPRequest, bodyLength: Int? = nil) -> HTTPStream {
    requests.increment()
    let number = nextNumber
    nextNumber += 1
    let transfer = multi.open(request, length: bodyLength, number: number, connectTimeout: connectTimeout)
    return HTTPStream(transfer, client: self, reactor: reactor)
  }

  /// Repeats a look at a stream until it gives a value.
  func step<Value: Sendable>(
    _ transfer: StreamedTransfer, _ look: (StreamedTransfer) -> Value?
  ) async throws(HTTPClientError) -> Value {
    while true {
      let seen = transfer.changes
      if let value = look(transfer) { return value }
      if case .failure(let error) = transfer.result {
        failures.increment()
        throw error
      }
      if Task.isCancelled { throw transfer.failure(.cancelled, "cancelled") }
      if case .success = transfer.result { throw transfer.failure(.broken, "the server closed without a response") }
      await withTaskCancellationHandler {
        await transfer.wait(since: seen)
      } onCancel: {
        reactor.post { transfer.wake() }
      }
    }
  }

  func onLoop(_ transfer: StreamedTransfer, _ body: (StreamedTransfer) -> Void) { body(transfer) }

  func isAnswered(_ transfer: StreamedTransfer) -> Bool { transfer.head != nil }

  nonisolated func drop(_ transfer: StreamedTransfer) { assumeIsolated { $0.multi.cancel(transfer.number) } }

  /// Cancels all requests in progress and closes all connections.
  public func close() { multi.close() }
}
