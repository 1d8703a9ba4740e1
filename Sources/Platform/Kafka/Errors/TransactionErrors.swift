import CRdkafka

extension KafkaError.Kind {
  /// Consequence of an error of a call that begins, commits or aborts a transaction (librdkafka, “Transactional producer API”).
  static func transaction(_ code: rd_kafka_resp_err_t) -> Self {
    switch code {
    case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
      RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
      .fatal
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      .forbidden
    case RD_KAFKA_RESP_ERR__INVALID_ARG, RD_KAFKA_RESP_ERR__NOT_CONFIGURED: .configuration
    default: .temporary
    }
  }
}
