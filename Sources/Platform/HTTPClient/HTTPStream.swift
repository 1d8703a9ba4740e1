import Reactor

/// A request whose bodies are streamed, in both directions at once if the server does so. It belongs to one task.
///
/// A stream that is dropped is cancelled. A server that makes no progress for the request's time-out fails it.
public final class HTTPStream: Sendable {
  private let transfer: StreamedTransfer
  private let client: HTTPClient
  private let reactor: Reactor

  init(_ transfer: StreamedTransfer, client: HTTPClient, reactor: Reactor) {
    (self.transfer, self.client, self.reactor) = (transfer, client, reactor)
  }

  deinit { cancel() }

  /// Ends the request; the connection is closed unless the response was complete.
  public func cancel() {
    reactor.post { [transfer, client] in client.drop(transfer) }
  }

  /// Sends a piece of the request's body. Waits while the server is slow. A piece after the response is dropped.
  public func write(_ bytes: [UInt8]) async throws(HTTPClientError) {
    try await client.step(transfer) { transfer -> Void? in transfer.hasRoom ? () : nil }
    await client.onLoop(transfer) { $0.write(bytes) }
  }

  /// True if the server has answered. Before the end of the body that is a refusal: the rest is not wanted.
  public var isAnswered: Bool { get async { await client.isAnswered(transfer) } }

  /// The request's body is complete.
  public func endBody() async { await client.onLoop(transfer) { $0.endBody() } }

  /// The head of the response, whatever its status.
  public func head() async throws(HTTPClientError) -> HTTPResponseHead {
    let head = try await client.step(transfer) { $0.head }
    return HTTPResponseHead(status: head.status, headers: head.headers)
  }

  /// The next piece of the response's body; nil at its end.
  public func next() async throws(HTTPClientError) -> [UInt8]? {
    try await client.step(transfer) { transfer -> [UInt8]?? in
      if let chunk = transfer.takeChunk() { return .some(chunk) }
      if case .success = transfer.result { return .some(nil) }
      return .none
    }
  }

  /// The whole response. Its body has at most `limit` bytes.
  public func response(limit: Int = 1 << 20) async throws(HTTPClientError) -> HTTPResponse {
    let head = try await head()
    var body: [UInt8] = []
    while let chunk = try await next() {
      guard body.count + chunk.count <= limit else {
        cancel()
        throw transfer.failure(.tooLarge, "more than \(limit) bytes")
      }
      body += chunk
    }
    return HTTPResponse(status: head.status, headers: head.headers, body: body)
  }
}
