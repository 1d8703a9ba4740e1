public import HTTPClient
import Reactor
import Time

/// The address, bucket and credentials of an object store.
public struct S3Options: Sendable {
  public var endpoint: String
  public var bucket: String
  public var accessKey: String
  public var secretKey: String
  public var region: String
  public var timeout: Duration

  public init(
    endpoint: String, bucket: String, accessKey: String, secretKey: String, region: String = "us-east-1",
    timeout: Duration = .seconds(30)
  ) {
    (self.endpoint, self.bucket, self.accessKey, self.secretKey) = (endpoint, bucket, accessKey, secretKey)
    (self.region, self.timeout) = (region, timeout)
  }
}

/// A failed request to the object store.
public enum S3Error: Error, Equatable, Sendable, CustomStringConvertible {
  case unreachable(endpoint: String, reason: String)
  case refused(operation: String, status: Int, reason: String)
  case notFound(key: String)

  public var isRetriable: Bool {
    switch self {
    case .unreachable: true
    case .refused(_, let status, _): status >= 500 || status == 429
    case .notFound: false
    }
  }

  public var description: String {
    switch self {
    case .unreachable(let endpoint, let reason):
      "the object store at \(endpoint) cannot be reached: \(reason). Is it running, and is ANNALS_S3_ENDPOINT right?"
    case .refused(let operation, let status, let reason): "the object store refused \(operation): \(status) \(reason)"
    case .notFound(let key): "the object store has no object \(key)"
    }
  }
}

/// A client for the objects in one bucket of an S3-compatible server, with path-style addresses.
public struct S3Client: Sendable {
  private let options: S3Options
  private let client: HTTPClient
  private let signature: Signature

  public init(_ options: S3Options, over client: HTTPClient) {
    (self.options, self.client) = (options, client)
    signature = Signature(accessKey: options.accessKey, secretKey: options.secretKey, region: options.region)
  }

  public var endpoint: String { options.endpoint }

  /// Creates the bucket unless it exists.
  public func createBucket() async throws(S3Error) {
    let response = try await send(.put, key: nil, body: [])
    // 409: BucketAlreadyOwnedByYou.
    guard response.isSuccess || response.status == 409 else { throw refused("creating the bucket", response) }
  }

  /// Writes a whole object and replaces an existing one. Creates the bucket if it is missing.
  public func put(_ key: String, _ body: [UInt8], contentType: String) async throws(S3Error) {
    var response = try await send(.put, key: key, body: body, headers: [("Content-Type", contentType)])
    if response.status == 404 {
      // The bucket does not exist yet, or was deleted.
      try await createBucket()
      response = try await send(.put, key: key, body: body, headers: [("Content-Type", contentType)])
    }
    guard response.isSuccess else { throw refused("writing \(key)", response) }
  }

  /// Reads a whole object.
  public func get(_ key: String) async throws(S3Error) -> [UInt8] {
    let response = try await send(.get, key: key)
    if response.status == 404 { throw .notFound(key: key) }
    guard response.isSuccess else { throw refused("reading \(key)", response) }
    return response.body
  }

  public func exists(_ key: String) async throws(S3Error) -> Bool {
    let response = try await send(.head, key: key)
    if response.status == 404 { return false }
    guard response.isSuccess else { throw refused("looking for \(key)", response) }
    return true
  }

  /// Returns true if the bucket exists.
  public func bucketExists() async throws(S3Error) -> Bool {
    let response = try await send(.head, key: nil)
    if response.status == 404 { return false }
    guard response.isSuccess else { throw refused("looking for the bucket", response) }
    return true
  }

  /// Maximum number of times that a failing request is sent. Every request may be repeated, because an object is
  /// always written whole.
  static let maximumTries = 4

  private func send(
    _ method: HTTPRequest.Method, key: String?, body: [UInt8]? = nil, headers: [(name: String, value: String)] = []
  ) async throws(S3Error) -> HTTPResponse {
    var backoff = Backoff(first: .milliseconds(50), limit: .seconds(1))
    while true {
      let isLast = backoff.attempts == Self.maximumTries - 1
      do throws(S3Error) {
        let response = try await sendOnce(method, key: key, body: body, headers: headers)
        if isLast || response.status < 500 { return response }
      } catch {
        if isLast || Task.isCancelled { throw error }
      }
      do { try await Task.sleep(for: backoff.next()) } catch {
        throw .unreachable(endpoint: options.endpoint, reason: "cancelled")
      }
    }
  }

  private func sendOnce(
    _ method: HTTPRequest.Method, key: String?, body: [UInt8]?, headers: [(name: String, value: String)]
  ) async throws(S3Error) -> HTTPResponse {
    let path = "/\(options.bucket)" + (key.map { "/" + Signature.encoded($0, keepingSlash: true) } ?? "")
    let schemeEnd = options.endpoint.firstRange(of: "://").map { options.endpoint[$0.upperBound...] }
    let host = String(schemeEnd ?? options.endpoint[...])
    let signed = signature.headers(
      method: method.rawValue, host: host, path: path, body: body ?? [], at: .now())
    let request = HTTPRequest(
      method, options.endpoint + path, headers: headers + signed, body: body, timeout: options.timeout)
    do { return try await client.send(request) } catch {
      throw .unreachable(endpoint: options.endpoint, reason: error.reason)
    }
  }

  private func refused(_ operation: String, _ response: HTTPResponse) -> S3Error {
    let code = String(decoding: response.body.prefix(512), as: UTF8.self)
    return .refused(operation: operation, status: response.status, reason: code)
  }
}
