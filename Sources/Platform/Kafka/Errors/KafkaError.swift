import CRdkafka

/// A failed Kafka operation.
public struct KafkaError: Error, Equatable, Sendable, CustomStringConvertible {
  /// librdkafka's name of the error, without its prefix: `MSG_SIZE_TOO_LARGE`, `_QUEUE_FULL`.
  public let name: String
  public let operation: String
  public let brokers: String
  public let reason: String
  public let kind: Kind

  /// The consequence of an error for the caller.
  public enum Kind: Hashable, Sendable {
    /// The local queue is full. It gets room as messages are acknowledged.
    case full
    /// The broker will never accept this message, or the batch that it was in.
    case refused
    /// This client lacks a right. The same call succeeds once an administrator has granted it.
    case forbidden
    /// The same call may succeed later.
    case temporary
    /// This client cannot continue; a new one may.
    case fatal
    /// A setting is wrong.
    case configuration
  }

  public var isRetriable: Bool { kind == .full || kind == .temporary }

  public var description: String {
    "Kafka at \(brokers): \(operation) failed: \(reason) (\(name))\(remedy)"
  }

  private var remedy: String {
    switch name {
    case "_ALL_BROKERS_DOWN", "_TRANSPORT", "_TIMED_OUT", "_RESOLVE":
      ". Is it running, and is ANNALS_KAFKA_BROKERS right?"
    case "MSG_SIZE_TOO_LARGE":
      ". Raise max.message.bytes of the topic, and above 100 MiB also message.max.bytes in kafka.settings"
    case "TOPIC_AUTHORIZATION_FAILED": ". Grant this client access to the topic (WRITE; CREATE, or create the topic)"
    case "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": ". Grant this client WRITE and DESCRIBE on the transactional id"
    default: ""
    }
  }

  public init(name: String, operation: String, brokers: String, reason: String, kind: Kind) {
    (self.name, self.operation, self.brokers, self.reason, self.kind) = (name, operation, brokers, reason, kind)
  }

  /// - Parameter kind: The consequence of the code for this operation.
  init(
    _ code: rd_kafka_resp_err_t, _ operation: String, brokers: String, reason: String? = nil,
    as kind: (rd_kafka_resp_err_t) -> Kind = Kind.admin
  ) {
    self.init(
      name: String(cString: rd_kafka_err2name(code)), operation: operation, brokers: brokers,
      reason: reason ?? String(cString: rd_kafka_err2str(code)), kind: kind(code))
  }

  /// The names of all errors that librdkafka knows, by their consequence for an operation.
  static func names(by kind: (rd_kafka_resp_err_t) -> Kind) -> [Kind: [String]] {
    var list: UnsafePointer<rd_kafka_err_desc>?
    var count = 0
    rd_kafka_get_err_descs(&list, &count)
    var names: [Kind: [String]] = [:]
    for index in 0..<count {
      guard let entry = list?[index], let name = entry.name, entry.code != RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
      names[kind(entry.code), default: []].append(String(cString: name))
    }
    return names
  }
}
