public import HTTPClient
public import Resilience
import Time

/// A client for the objects in one bucket of an S3-compatible server, with path-style addresses.
public struct S3Client: Sendable {
  let options: S3Options
  /// Its state, as all calls have found it.
  public let dependency: Dependency
  private let client: HTTPClient

  public init(_ options: S3Options, over client: HTTPClient, watched dependency: Dependency) {
    (self.options, self.client, self.dependency) = (options, client, dependency)
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
    let response = try await create(.put, key, body: body, contentType: contentType)
    guard response.isSuccess else { throw refused("writing \(key)", response) }
  }

  /// Sends a request that makes an object. Creates the bucket if it does not exist yet, or was deleted.
  func create(
    _ method: HTTPRequest.Method, _ key: String, query: [(name: String, value: String)] = [], body: [UInt8],
    contentType: String
  ) async throws(S3Error) -> HTTPResponse {
    let headers = [(name: "Content-Type", value: contentType)]
    let response = try await send(method, key: key, query: query, body: body, headers: headers)
    guard response.status == 404 else { return response }
    try await createBucket()
    return try await send(method, key: key, query: query, body: body, headers: headers)
  }

  /// Reads a whole object.
  public func get(_ key: String) async throws(S3Error) -> [UInt8] {
    let response = try await send(.get, key: key)
    if response.status == 404 { throw .notFound(key: key) }
    guard response.isSuccess else { throw refused("reading \(key)", response) }
    return response.body
  }

  /// Deletes an object; one that is not there is deleted too.
  public func delete(_ key: String) async throws(S3Error) {
    let response = try await send(.delete, key: key)
    guard response.isSuccess || response.status == 404 else { throw refused("deleting \(key)", response) }
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

  func send(
    _ method: HTTPRequest.Method, key: String?, query: [(name: String, value: String)] = [], body: [UInt8]? = nil,
    headers: [(name: String, value: String)] = [], isUnderWay: Bool = false
  ) async throws(S3Error) -> HTTPResponse {
    try await retrying(isUnderWay: isUnderWay) { () async throws(S3Error) in
      let response = try await sendOnce(method, key: key, query: query, body: body, headers: headers)
      if response.status >= 500 || response.status == 429 {
        throw refused("\(method.rawValue) of \(key ?? "the bucket")", response)
      }
      return response
    }
  }

  /// Every request may be repeated, because an object is always written whole.
  ///
  /// - Parameter isUnderWay: It is a part of something of which much is sent already: a server that is left alone is waited for.
  func retrying<Value>(
    isUnderWay: Bool = false, _ body: () async throws(S3Error) -> Value
  ) async throws(S3Error) -> Value {
    try await watched(isRepeatable: true, patience: isUnderWay ? options.timeout : .zero, body)
  }

  func watched<Value>(
    isRepeatable: Bool = false, patience: Duration = .zero, _ body: () async throws(S3Error) -> Value
  ) async throws(S3Error) -> Value {
    try await dependency.call(
      isRepeatable: isRepeatable, patience: patience,
      outcome: { (error: S3Error) in
        if case .cancelled = error { return .abandoned }
        return error.isRetriable ? .failed : .answered
      }, refused: { .unreachable(endpoint: options.endpoint, reason: "\($0)") }, body)
  }

  private func sendOnce(
    _ method: HTTPRequest.Method, key: String?, query: [(name: String, value: String)], body: [UInt8]?,
    headers: [(name: String, value: String)]
  ) async throws(S3Error) -> HTTPResponse {
    let (request, _) = request(method, key: key, query: query, payload: .bytes(body ?? []), headers: headers)
    var whole = request
    whole.body = body
    do { return try await client.send(whole) } catch { throw failed(error) }
  }

  /// Starts a request whose answer, or whose body of signed chunks, is streamed.
  func open(
    _ method: HTTPRequest.Method, key: String, query: [(name: String, value: String)] = [], length: Int? = nil,
    headers: [(name: String, value: String)] = []
  ) async -> (HTTPStream, Signature.Signed) {
    let payload: Signature.Payload = length.map { .chunks(length: $0) } ?? .bytes([])
    let (request, signed) = request(
      method, key: key, query: query, payload: payload,
      headers: headers + (length == nil ? [] : [("Content-Encoding", "aws-chunked")]))
    return (await client.open(request, bodyLength: length.map(SignedChunks.framedLength)), signed)
  }

  private func request(
    _ method: HTTPRequest.Method, key: String?, query: [(name: String, value: String)], payload: Signature.Payload,
    headers: [(name: String, value: String)]
  ) -> (HTTPRequest, Signature.Signed) {
    let path = "/\(options.bucket)" + (key.map { "/" + Signature.encoded($0, keepingSlash: true) } ?? "")
    let schemeEnd = options.endpoint.firstRange(of: "://").map { options.endpoint[$0.upperBound...] }
    let host = String(schemeEnd ?? options.endpoint[...])
    let (access, secret) = options.keys()
    let signature = Signature(accessKey: access, secretKey: secret, region: options.region)
    let signed = signature.sign(
      method: method.rawValue, host: host, path: path, query: query, payload: payload, at: .now())
    let url = options.endpoint + path + (query.isEmpty ? "" : "?" + Signature.query(query))
    return (HTTPRequest(method, url, headers: headers + signed.headers, timeout: options.timeout), signed)
  }

  func failed(_ error: HTTPClientError) -> S3Error {
    switch error.kind {
    case .connecting, .timedOut, .broken: .unreachable(endpoint: options.endpoint, reason: error.reason)
    case .cancelled: .cancelled
    case .tooLarge, .invalid, .refused: .unusable(reason: error.reason)
    }
  }

  func refused(_ operation: String, _ response: HTTPResponse) -> S3Error {
    let code = String(decoding: response.body.prefix(512), as: UTF8.self)
    return .refused(operation: operation, status: response.status, reason: code)
  }
}
