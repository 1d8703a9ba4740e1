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
  /// Identifies the request in the log: `X-Request-ID`, or a new one.
  public internal(set) var id = ""
  /// IP address of the client.
  public internal(set) var clientAddress = ""
  /// What a middleware found out about the caller; nil: nothing.
  public var identity: (any Sendable)?

  public enum Method: String, Sendable, CaseIterable {
    case get = "GET", head = "HEAD", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE"
    case options = "OPTIONS"
  }

  /// Makes a request without a connection. Its target is checked like a received one.
  ///
  /// - Throws: `Problem` 400.
  public init(
    _ method: Method, _ target: String, headers: [(name: String, value: String)] = [], body: RequestBody = .empty,
    clientAddress: String = ""
  ) throws(Problem) {
    do {
      let head = try RequestHead(
        method: method.rawValue, version: "HTTP/1.1", target: target,
        headers: Headers([("Host", "localhost")] + headers))
      self = head.request
    } catch { throw error.problem }
    (self.body, self.clientAddress) = (body, clientAddress)
  }

  init(
    method: Method, target: String, path: [String], query: [(name: String, value: String)], headers: Headers
  ) {
    (self.method, self.target, self.path, self.query, self.headers) = (method, target, path, query, headers)
  }

  /// The first value of this name in the query.
  public func query(_ name: String) -> String? { query.first { $0.name == name }?.value }
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

  /// False if the field could be read as two: a line end in a value begins another header.
  static func isSound(_ name: String, _ value: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy(isToken) && value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }
  }

  /// A character of a token (RFC 9110, section 5.6.2).
  private static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E: true
    default: false
    }
  }

  private static func equal(_ left: String, _ right: String) -> Bool {
    left.utf8.count == right.utf8.count && left.utf8.elementsEqual(right.utf8) { lowered($0) == lowered($1) }
  }

  private static func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
