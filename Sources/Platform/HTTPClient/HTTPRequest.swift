/// A request to send.
public struct HTTPRequest: Sendable {
  public enum Method: String, Sendable {
    case get = "GET", head = "HEAD", post = "POST", put = "PUT", patch = "PATCH", delete = "DELETE", options = "OPTIONS"
  }

  public var method: Method
  public var url: String
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]?
  /// Time-out for the whole exchange; of a streamed one, for each time that the server makes no progress.
  public var timeout: Duration
  /// Maximum size of the response body in bytes. A larger body fails the request.
  public var maximumResponse: Int

  public init(
    _ method: Method, _ url: String, headers: [(name: String, value: String)] = [], body: [UInt8]? = nil,
    timeout: Duration = .seconds(10), maximumResponse: Int = 64 << 20
  ) {
    (self.method, self.url, self.headers, self.body) = (method, url, headers, body)
    (self.timeout, self.maximumResponse) = (timeout, maximumResponse)
  }
}

/// A response, whatever its status.
public struct HTTPResponse: Sendable {
  public let status: Int
  /// The headers, with names in lower case.
  public let headers: [(name: String, value: String)]
  public let body: [UInt8]

  public func header(_ name: String) -> String? { headers.last { $0.name == name }?.value }
  public var isSuccess: Bool { (200..<300).contains(status) }
}

/// The head of a response, whatever its status.
public struct HTTPResponseHead: Sendable {
  public let status: Int
  /// The headers, with names in lower case.
  public let headers: [(name: String, value: String)]

  public func header(_ name: String) -> String? { headers.last { $0.name == name }?.value }
  public var isSuccess: Bool { (200..<300).contains(status) }
}

/// The reason why a request got no response.
public struct HTTPClientError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Equatable, Sendable { case connecting, timedOut, tooLarge, broken, cancelled, invalid, refused }
  public let kind: Kind
  public let method: String
  /// The URL without its query, which may contain secrets.
  public let url: String
  public let reason: String

  public var isRetriable: Bool { kind == .connecting || kind == .timedOut || kind == .broken }
  public var description: String { "\(method) \(url) failed: \(reason)" }
}
