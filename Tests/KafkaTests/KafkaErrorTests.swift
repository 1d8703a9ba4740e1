@testable import Kafka
import Support
import Testing

@Suite("Errors of Kafka") struct KafkaErrorTests {
  @Test("of a message that was sent are final unless they are named: it, or its batch, would be refused again")
  func reports() {
    let names = KafkaError.names(by: KafkaError.Kind.report)
    for name in [
      "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_TIMESTAMP", "INVALID_MSG", "INVALID_RECORD",
      "TOPIC_EXCEPTION",
      "POLICY_VIOLATION", "_UNKNOWN_PARTITION", "UNSUPPORTED_FOR_MESSAGE_FORMAT", "UNSUPPORTED_COMPRESSION_TYPE",
      "_BAD_MSG",
    ] { #expect(names[.refused]?.contains(name) == true, "\(name)") }
    for name in [
      "_MSG_TIMED_OUT", "_TRANSPORT", "NOT_ENOUGH_REPLICAS", "NOT_LEADER_FOR_PARTITION", "UNKNOWN_TOPIC_OR_PART",
      "KAFKA_STORAGE_ERROR", "THROTTLING_QUOTA_EXCEEDED", "_PURGE_QUEUE", "SASL_AUTHENTICATION_FAILED", "UNKNOWN",
    ] { #expect(names[.temporary]?.contains(name) == true, "\(name)") }
    #expect(
      names[.forbidden]?.sorted() == [
        "CLUSTER_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
      ])
    for name in ["_FATAL", "_FENCED", "_GAPLESS_GUARANTEE", "INVALID_PRODUCER_EPOCH", "OUT_OF_ORDER_SEQUENCE_NUMBER"] {
      #expect(names[.fatal]?.contains(name) == true, "\(name)")
    }
  }

  @Test("of a message that the client does not take are final, except where it is the moment's fault")
  func produce() {
    let names = KafkaError.names(by: KafkaError.Kind.produce)
    #expect(names[.full] == ["_QUEUE_FULL"])
    #expect(names[.temporary]?.sorted() == ["UNKNOWN_TOPIC_OR_PART", "_FAIL", "_STATE", "_UNKNOWN_TOPIC"])
    for name in ["MSG_SIZE_TOO_LARGE", "_UNKNOWN_PARTITION", "_INVALID_ARG"] {
      #expect(names[.refused]?.contains(name) == true, "\(name)")
    }
  }

  @Test("of settings that would lose or repeat messages: they are refused by name")
  func settings() async throws {
    for (name, value) in [("enable.idempotence", "false"), ("acks", "1"), ("request.required.acks", "0")] {
      let options = KafkaOptions(brokers: "127.0.0.1:1", settings: [name: value])
      try await withReactor { reactor in
        let error = #expect(throws: KafkaError.self) {
          _ = try KafkaProducer(options, on: reactor, logger: quietLogger()) { _ in }
        }
        #expect(error?.kind == .configuration && error?.operation == "setting \(name)")
      }
    }
  }

  @Test("of requests and transactions may pass, except where a name, a right or the client itself is wrong")
  func others() {
    let admin = KafkaError.names(by: KafkaError.Kind.admin)
    #expect(admin[.refused]?.contains("TOPIC_EXCEPTION") == true)
    #expect(admin[.forbidden]?.sorted() == ["CLUSTER_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED"])
    #expect(admin[.temporary]?.contains("_TIMED_OUT") == true)
    let transaction = KafkaError.names(by: KafkaError.Kind.transaction)
    #expect(transaction[.fatal]?.sorted() == ["INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED", "_FATAL", "_FENCED"])
    #expect(transaction[.temporary]?.contains("COORDINATOR_NOT_AVAILABLE") == true)
  }
}
