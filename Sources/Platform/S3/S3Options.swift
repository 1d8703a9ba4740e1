/// The address, bucket and credentials of an object store.
public struct S3Options: Sendable {
  public var endpoint: String
  public var bucket: String
  /// Asked for each request: they may be changed.
  public var keys: @Sendable () -> (access: String, secret: String)
  public var region: String
  public var timeout: Duration

  public init(
    endpoint: String, bucket: String, accessKey: String, secretKey: String, region: String = "us-east-1",
    timeout: Duration = .seconds(30)
  ) {
    (self.endpoint, self.bucket, keys) = (endpoint, bucket, { (accessKey, secretKey) })
    (self.region, self.timeout) = (region, timeout)
  }
}

/// A failed request to the object store.
public enum S3Error: Error, Equatable, Sendable, CustomStringConvertible {
  case unreachable(endpoint: String, reason: String)
  case refused(operation: String, status: Int, reason: String)
  case notFound(key: String)
  case cancelled
  /// The answer, or the address, cannot be used.
  case unusable(reason: String)
  case wrongLength(key: String, declared: Int, written: Int)

  public var isRetriable: Bool {
    switch self {
    case .unreachable: true
    case .refused(_, let status, _): status >= 500 || status == 429
    case .notFound, .wrongLength, .cancelled, .unusable: false
    }
  }

  public var description: String {
    switch self {
    case .unreachable(let endpoint, let reason):
      "the object store at \(endpoint) cannot be reached: \(reason). Is it running, and is ANNALS_S3_ENDPOINT right?"
    case .refused(let operation, let status, let reason): "the object store refused \(operation): \(status) \(reason)"
    case .cancelled: "the request to the object store was cancelled"
    case .unusable(let reason): "the object store's answer cannot be used: \(reason)"
    case .wrongLength(let key, let declared, let written):
      "\(written) bytes were written of the object \(key), for which \(declared) were declared"
    case .notFound(let key): "the object store has no object \(key)"
    }
  }
}
