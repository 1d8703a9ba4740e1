/// A request, as its handler receives it.
public struct Request: Sendable {
  public let method: Method
  /// Request target as it was sent, including the query.
  public let target: String
  /// Decoded segments of the path.
  public let path: [String]
  public let query: [(name: String, value: String)]
  public let headers: Headers
  /// Values of the route's `{name}` segments, by name.
  public internal(set) var parameters: [String: String] = [:]
  public internal(set) var body: RequestBody = .empty
  /// IP address of the client.
  public internal(set) var clientAddress = ""
  /// Actor of the request, set by a middleware; nil: not set, or unknown.
  public var actor: String?

  public enum Method: String, Sendable, CaseIterable {
    case get = "GET", head = "HEAD", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE"
    case options = "OPTIONS"
  }

  /// Makes a request without a connection. Its target is checked like a received one.
  ///
  /// - Throws: `Problem` 400.
  public init(
    _ method: Method, _ target: String, headers: [(name: String, value: String)] = [], body: RequestBody = .empty
  ) throws(Problem) {
    do {
      let head = try RequestHead(
        method: method.rawValue, version: "HTTP/1.1", target: target,
        headers: Headers([("Host", "localhost")] + headers))
      self = head.request
    } catch { throw Problem(400, "Bad request", detail: error.reason) }
    self.body = body
  }

  init(
    method: Method, target: String, path: [String], query: [(name: String, value: String)], headers: Headers
  ) {
    (self.method, self.target, self.path, self.query, self.headers) = (method, target, path, query, headers)
  }

  /// The first value of this name in the query.
  public func query(_ name: String) -> String? { query.first { $0.name == name }?.value }
}

/// The body of a request.
public enum RequestBody: Sendable {
  case empty
  case bytes([UInt8])
  /// The parts of a multipart/form-data body.
  case form([FormPart])
  case stream(BodyStream)
}

/// One part of a form.
public struct FormPart: Sendable {
  public let name: String
  public let filename: String?
  public let contentType: String?
  public internal(set) var bytes: [UInt8]

  public init(name: String, filename: String? = nil, contentType: String? = nil, bytes: [UInt8]) {
    (self.name, self.filename, self.contentType, self.bytes) = (name, filename, contentType, bytes)
  }
}

/// Header fields in order. Names are compared without regard to case.
public struct Headers: Sendable {
  public private(set) var fields: [(name: String, value: String)] = []

  public init(_ fields: [(name: String, value: String)] = []) { self.fields = fields }

  mutating func append(_ name: String, _ value: String) { fields.append((name, value)) }

  public subscript(_ name: String) -> String? {
    fields.first { Self.equal($0.name, name) }?.value
  }

  public func count(of name: String) -> Int { fields.count { Self.equal($0.name, name) } }

  private static func equal(_ left: String, _ right: String) -> Bool {
    left.utf8.count == right.utf8.count && left.utf8.elementsEqual(right.utf8) { lowered($0) == lowered($1) }
  }

  private static func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}

/// A request's body in chunks, as they arrive. It can be read once. While nothing is read, the client has to wait.
public struct BodyStream: Sendable, AsyncSequence {
  public typealias Element = [UInt8]
  let exchange: Exchange

  public struct Iterator: AsyncIteratorProtocol {
    let exchange: Exchange
    public mutating func next() async throws -> [UInt8]? { try await exchange.nextChunk() }
  }

  public func makeAsyncIterator() -> Iterator { Iterator(exchange: exchange) }
}

/// The client closed its connection before it received the response.
public struct ClientGone: Error, CustomStringConvertible {
  public let description = "the client closed the connection"
}
