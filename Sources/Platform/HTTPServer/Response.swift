/// A response to a request.
public struct Response: Sendable {
  public enum Body: Sendable {
    case bytes([UInt8])
    /// A body that is produced while it is sent; the writer waits for the client. `length`: in bytes; nil: unknown.
    case stream(length: Int?, @Sendable (BodyWriter) async throws -> Void)
    /// The connection leaves HTTP (RFC 9110, section 7.8): status 101. What takes it over runs on the reactor; the server's
    /// stop waits for its end, and cancels it at last.
    case upgrade(@Sendable (UpgradedConnection) async -> Void)
  }

  public var status: Int
  public var headers: [(name: String, value: String)]
  public var body: Body

  public init(_ status: Int, headers: [(name: String, value: String)] = [], body: Body = .bytes([])) {
    (self.status, self.headers, self.body) = (status, headers, body)
  }

  /// The response, or 500 if a header could not be sent: a line end in a value would begin another header.
  var checked: Response {
    for (name, value) in headers where !Headers.isSound(name, value) {
      return Problem(500, "Internal error", detail: "the answer's header \(name.prefix(40)) is malformed").response
    }
    return self
  }

  /// A response with a JSON body.
  public static func json(
    _ bytes: [UInt8], status: Int = 200, headers: [(name: String, value: String)] = []
  ) -> Response {
    Response(status, headers: [("Content-Type", "application/json")] + headers, body: .bytes(bytes))
  }

  public static func text(_ text: String, status: Int = 200) -> Response {
    Response(
      status, headers: [("Content-Type", "text/plain; charset=utf-8")], body: .bytes(Array(text.utf8)))
  }
}

/// A connection that has left HTTP.
public struct UpgradedConnection: Sendable {
  /// The taker's, to be closed by it.
  public let descriptor: Int32
  /// What the client sent behind the request.
  public let extra: [UInt8]
}

/// Writes a streamed body. `write` waits while the client is slow, and throws `ClientGone` after it has disconnected.
public struct BodyWriter: Sendable {
  let exchange: Exchange
  public func write(_ bytes: [UInt8]) async throws { try await exchange.write(bytes) }
}
