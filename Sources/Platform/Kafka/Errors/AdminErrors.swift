import CRdkafka

extension KafkaError.Kind {
  /// Consequence of an error of a request about topics or settings (Kafka documentation, “Error codes”).
  static func admin(_ code: rd_kafka_resp_err_t) -> Self {
    switch code {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: .forbidden
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, RD_KAFKA_RESP_ERR_POLICY_VIOLATION, RD_KAFKA_RESP_ERR_INVALID_PARTITIONS,
      RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, RD_KAFKA_RESP_ERR_INVALID_CONFIG,
      RD_KAFKA_RESP_ERR_INVALID_REQUEST:
      .refused
    case RD_KAFKA_RESP_ERR__INVALID_ARG: .configuration
    case RD_KAFKA_RESP_ERR__FATAL: .fatal
    default: .temporary
    }
  }
}
