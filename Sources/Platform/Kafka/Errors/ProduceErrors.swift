import CRdkafka

extension KafkaError.Kind {
  /// Consequence of an error of the client for a message that it has not sent (librdkafka, `rd_kafka_produceva`).
  static func produce(_ code: rd_kafka_resp_err_t) -> Self {
    switch code {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: .full
    case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE: .fatal
    // Outside of a transaction, or in one that has failed.
    case RD_KAFKA_RESP_ERR__STATE, RD_KAFKA_RESP_ERR__FAIL: .temporary
    // The topic is not known yet, or not any more.
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: .temporary
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED: .forbidden
    // Too large for this client, a partition that the topic does not have, a malformed header.
    default: .refused
    }
  }
}
