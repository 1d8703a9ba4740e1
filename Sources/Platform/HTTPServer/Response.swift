import JSON

/// What a handler answers.
public struct Response: Sendable {
  public enum Body: Sendable {
    case bytes([UInt8])
    /// Made while it is sent; the writer waits for the client. `length` is declared where it is known.
    case stream(length: Int?, @Sendable (BodyWriter) async throws -> Void)
  }

  public var status: Int
  public var headers: [(name: String, value: String)]
  public var body: Body

  public init(_ status: Int, headers: [(name: String, value: String)] = [], body: Body = .bytes([])) {
    (self.status, self.headers, self.body) = (status, headers, body)
  }

  /// A JSON text.
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

/// Writes a streamed body. `write` waits while the client is behind, and throws once it is gone.
public struct BodyWriter: Sendable {
  let exchange: Exchange
  public func write(_ bytes: [UInt8]) async throws { try await exchange.write(bytes) }
}

/// An error as its client sees it: RFC 9457's problem details.
public struct Problem: Error, Sendable, CustomStringConvertible {
  public var status: Int
  public var title: String
  /// What was wrong with which value, and what to do.
  public var detail: String
  /// The field concerned, as a JSON Pointer, a query parameter's or a header's name.
  public var field: String?
  public var headers: [(name: String, value: String)]

  public init(
    _ status: Int, _ title: String, detail: String, field: String? = nil,
    headers: [(name: String, value: String)] = []
  ) {
    (self.status, self.title, self.detail, self.field, self.headers) = (status, title, detail, field, headers)
  }

  public var description: String { "\(status) \(title): \(detail)" + (field.map { " (\($0))" } ?? "") }

  public var response: Response {
    var writer = JSONWriter()
    writer.object {
      $0.member("type", "about:blank")
      $0.member("title", title)
      $0.member("status", status)
      $0.member("detail", detail)
      if let field { $0.member("field", field) }
    }
    return Response(
      status, headers: [("Content-Type", "application/problem+json")] + headers, body: .bytes(writer.bytes))
  }
}
