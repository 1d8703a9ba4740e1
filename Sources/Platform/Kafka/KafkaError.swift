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
  public enum Kind: Equatable, Sendable {
    /// The local queue is full. It gets room as messages are acknowledged.
    case full
    /// The broker will never accept this message.
    case refused
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
    case "TOPIC_AUTHORIZATION_FAILED": ". Grant this client access to the topic"
    default: ""
    }
  }

  public init(name: String, operation: String, brokers: String, reason: String, kind: Kind) {
    (self.name, self.operation, self.brokers, self.reason, self.kind) = (name, operation, brokers, reason, kind)
  }

  init(_ code: rd_kafka_resp_err_t, _ operation: String, brokers: String, reason: String? = nil) {
    self.init(
      name: String(cString: rd_kafka_err2name(code)), operation: operation, brokers: brokers,
      reason: reason ?? String(cString: rd_kafka_err2str(code)), kind: Self.kind(of: code))
  }

  private static func kind(of code: rd_kafka_resp_err_t) -> Kind {
    switch code {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: .full
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_INVALID_RECORD,
      RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, RD_KAFKA_RESP_ERR_INVALID_MSG, RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
      .refused
    case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
      RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
      .fatal
    case RD_KAFKA_RESP_ERR__INVALID_ARG: .configuration
    default: .temporary
    }
  }
}
