import Base64
import PercentCoding
public import HTTPClient
public import JSON
public import Resilience

/// A failed request to Elasticsearch.
public enum ElasticsearchError: Error, Equatable, Sendable, CustomStringConvertible {
  case unreachable(endpoint: String, reason: String)
  case refused(operation: String, status: Int, reason: String)
  case notUnderstood(operation: String, reason: String)

  public var isRetriable: Bool {
    switch self {
    case .unreachable: true
    // 403 is a block, for example of a disk that is nearly full (cluster.routing.allocation.disk.watermark.flood_stage).
    case .refused(_, let status, _): status == 429 || status == 403 || status >= 500
    case .notUnderstood: false
    }
  }

  public var description: String {
    switch self {
    case .unreachable(let endpoint, let reason):
      "Elasticsearch at \(endpoint) cannot be reached: \(reason). Is it running, and is ANNALS_ELASTICSEARCH_URL right?"
    case .refused(let operation, let status, let reason): "Elasticsearch refused \(operation): \(status) \(reason)"
    case .notUnderstood(let operation, let reason): "unexpected answer of Elasticsearch to \(operation): \(reason)"
    }
  }
}

/// A client for Elasticsearch's REST API.
public struct ElasticsearchClient: Sendable {
  public let endpoint: String
  /// Its state, as all calls have found it.
  public let dependency: Dependency
  private let url: @Sendable () -> String
  private var timeout: Duration
  private var repeatsReads = false
  private let client: HTTPClient

  /// - Parameters:
  ///   - url: `[http://][user:password@]host:port`; user and password are percent-encoded. It is asked for each request: a password may be
  ///     changed, a host may not.
  ///   - timeout: Of writers, who would have to send all of it again.
  ///   - dependency: Its policy is that of readers.
  public init(
    url: @escaping @Sendable () -> String, timeout: Duration = .seconds(30), over client: HTTPClient,
    watched dependency: Dependency
  ) {
    (self.timeout, self.client, self.dependency) = (timeout, client, dependency)
    self.url = url
    endpoint = Self.parts(of: url()).endpoint
  }

  private static func parts(of url: String) -> (endpoint: String, authorization: String?) {
    let url = url.contains("://") ? url : "http://" + url
    if let scheme = url.firstRange(of: "://"), let at = url.lastIndex(of: "@") {
      let credentials = url[scheme.upperBound..<at]
      return (
        String(url[..<scheme.upperBound] + url[url.index(after: at)...]),
        "Basic " + Base64.standard(Array((PercentCoding.decoded(credentials.utf8) ?? String(credentials)).utf8))
      )
    }
    return (url, nil)
  }

  /// For whoever waits for an answer: no longer than the policy says, and a read that fails at once is tried again.
  public var forReaders: ElasticsearchClient {
    var client = self
    (client.timeout, client.repeatsReads) = (dependency.policy.timeout, true)
    return client
  }

  /// A request that changes nothing, whatever its method.
  private static func isReading(_ method: HTTPRequest.Method, _ path: String) -> Bool {
    method == .get || ["/_search", "/_msearch", "/_mget", "/_count"].contains { path.contains($0) }
  }

  /// Sends a request with a JSON body and returns the JSON that came back.
  ///
  /// - Parameter accepting: Statuses that are accepted in addition to the successful ones.
  public func send(
    _ method: HTTPRequest.Method, _ path: String, _ body: [UInt8]? = nil,
    contentType: String = "application/json", operation: String, accepting: Set<Int> = []
  ) async throws(ElasticsearchError) -> (status: Int, body: JSONValue) {
    try await dependency.call(
      isRepeatable: repeatsReads && Self.isReading(method, path),
      outcome: { (error: ElasticsearchError) in
        switch error {
        case .unreachable: Task.isCancelled ? .abandoned : .failed
        case .refused(_, let status, _): status == 429 || status >= 500 ? .failed : .answered
        case .notUnderstood: .answered
        }
      },
      refused: { .unreachable(endpoint: endpoint, reason: "\($0)") }
    ) { () async throws(ElasticsearchError) in
      try await sendOnce(
        method, path, body, contentType: contentType, operation: operation, accepting: accepting)
    }
  }

  private func sendOnce(
    _ method: HTTPRequest.Method, _ path: String, _ body: [UInt8]?, contentType: String, operation: String,
    accepting: Set<Int>
  ) async throws(ElasticsearchError) -> (status: Int, body: JSONValue) {
    var headers = body == nil ? [] : [(name: "Content-Type", value: contentType)]
    // A password is for its host alone.
    let (present, authorization) = Self.parts(of: url())
    if present == endpoint, let authorization { headers.append(("Authorization", authorization)) }
    let response: HTTPResponse
    do {
      response = try await client.send(
        HTTPRequest(method, endpoint + path, headers: headers, body: body, timeout: timeout))
    } catch {
      // An answer that is too large comes again as large.
      if error.kind == .tooLarge { throw .notUnderstood(operation: operation, reason: error.reason) }
      throw .unreachable(endpoint: endpoint, reason: error.reason)
    }
    guard response.isSuccess || accepting.contains(response.status) else {
      throw .refused(
        operation: operation, status: response.status,
        reason: String(decoding: response.body.prefix(512), as: UTF8.self))
    }
    guard !response.body.isEmpty else { return (response.status, .null) }
    do { return (response.status, try JSONValue(parsing: response.body)) } catch {
      // A proxy's own words, for a status that the caller knows.
      if !response.isSuccess { return (response.status, .null) }
      throw .notUnderstood(operation: operation, reason: "\(error)")
    }
  }
}
