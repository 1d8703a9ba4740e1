import Protobuf

/// A status of gRPC (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
public struct RPCCode: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let ok = RPCCode(rawValue: 0)
  public static let cancelled = RPCCode(rawValue: 1)
  public static let unknown = RPCCode(rawValue: 2)
  public static let invalidArgument = RPCCode(rawValue: 3)
  public static let deadlineExceeded = RPCCode(rawValue: 4)
  public static let notFound = RPCCode(rawValue: 5)
  public static let alreadyExists = RPCCode(rawValue: 6)
  public static let permissionDenied = RPCCode(rawValue: 7)
  public static let resourceExhausted = RPCCode(rawValue: 8)
  public static let failedPrecondition = RPCCode(rawValue: 9)
  public static let aborted = RPCCode(rawValue: 10)
  public static let outOfRange = RPCCode(rawValue: 11)
  public static let unimplemented = RPCCode(rawValue: 12)
  public static let `internal` = RPCCode(rawValue: 13)
  public static let unavailable = RPCCode(rawValue: 14)
  public static let dataLoss = RPCCode(rawValue: 15)
  public static let unauthenticated = RPCCode(rawValue: 16)

  private static let names = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
  ]

  /// `NOT_FOUND`
  public var description: String {
    Self.names.indices.contains(Int(rawValue)) ? Self.names[Int(rawValue)] : "\(rawValue)"
  }
}

/// A call that ends with another status than OK.
public struct RPCError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What a program can read of an error, beside its code.
  public enum Detail: Sendable, Equatable {
    /// `google.rpc.ErrorInfo`
    case info(reason: String, metadata: [String: String] = [:])
    /// `google.rpc.BadRequest`
    case field(String, String)
    /// `google.rpc.PreconditionFailure`
    case precondition(type: String, subject: String, description: String)
    /// `google.rpc.RetryInfo`
    case retry(after: Duration)
  }

  public let code: RPCCode
  public let message: String
  public let details: [Detail]

  /// - Parameter message: Sent to the client: at most 1,000 bytes of it.
  public init(_ code: RPCCode, _ message: String, details: [Detail] = []) {
    (self.code, self.message, self.details) = (code, message, details)
  }

  public var description: String { "\(code): \(message)" }

  /// What clients of a server hear that stops.
  public static let stopping = RPCError(
    .unavailable, "the server stops: connect again", details: [.retry(after: .seconds(1))])

  static let domain = "annals"
  private static let maximumText = 1_000

  /// What is sent as the status's text.
  var text: String { Self.cut(message) }

  /// Texts go into trailers, which clients take up to a few kilobytes of; a character may have any number of bytes.
  private static func cut(_ text: String) -> String {
    guard text.utf8.count > maximumText else { return text }
    return String(decoding: text.utf8.prefix(maximumText), as: UTF8.self) + "…"
  }

  /// The trailer `grpc-status-details-bin`: a `google.rpc.Status`. Nil without details.
  var trailer: [UInt8]? {
    guard !details.isEmpty else { return nil }
    let known = details.map { detail in
      switch detail {
      case .info(let reason, let metadata):
        Self.any(GoogleRpcProto.ErrorInfo(reason: reason, domain: Self.domain, metadata: metadata.mapValues(Self.cut)))
      case .field(let field, let description):
        Self.any(
          GoogleRpcProto.BadRequest(fieldViolations: [.init(field: Self.cut(field), description: Self.cut(description))]
          ))
      case .precondition(let type, let subject, let description):
        Self.any(
          GoogleRpcProto.PreconditionFailure(
            violations: [.init(type: type, subject: Self.cut(subject), description: Self.cut(description))]))
      case .retry(let time):
        Self.any(
          GoogleRpcProto.RetryInfo(
            retryDelay: .init(
              seconds: time.components.seconds, nanos: Int32(time.components.attoseconds / 1_000_000_000))))
      }
    }
    return GoogleRpcProto.Status(code: code.rawValue, message: text, details: known).protobuf
  }

  private static func any<Message: ProtobufMessage>(_ message: Message) -> GoogleRpcProto.Detail {
    .init(typeUrl: "type.googleapis.com/\(Message.protobufName)", value: message.protobuf)
  }
}
