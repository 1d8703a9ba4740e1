import CRdkafka
public import Logging
public import Reactor

/// One partition of a topic.
public struct TopicPartition: Hashable, Sendable {
  public let topic: String
  public let partition: Int32
  public init(topic: String, partition: Int32) { (self.topic, self.partition) = (topic, partition) }
}

/// A message that was read from a topic.
public struct KafkaMessage: Sendable {
  public let source: TopicPartition
  public let offset: Int64
  public let key: [UInt8]?
  /// nil: a tombstone.
  public let value: [UInt8]?
  public let headers: [(name: String, value: [UInt8])]

  public func header(_ name: String) -> [UInt8]? { headers.last { $0.name == name }?.value }
}

/// A member of a consumer group. It reads committed messages only, and commits offsets only when asked to. Use it on
/// its reactor's loop, in the isolation that created it.
public final class KafkaConsumer {
  private var client: KafkaClient!
  private let doorbell: Doorbell
  private let logger: Logger
  private var failure: KafkaError?
  public private(set) var assignment: Set<TopicPartition> = []

  /// - Parameter instance: The member's permanent name (`group.instance.id`). After a restart the group accepts the
  ///   member at once, without waiting for its old session to expire. The name must be unique within the group.
  public init(
    _ options: KafkaOptions, group: String, instance: String? = nil, topics: [String], on reactor: Reactor,
    logger: Logger
  ) throws(KafkaError) {
    let doorbell = Doorbell(on: reactor)
    self.doorbell = doorbell
    self.logger = logger
    client = try KafkaClient(
      RD_KAFKA_CONSUMER, options,
      settings: [
        ("group.id", group), ("enable.auto.commit", "false"), ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"), ("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1500"),
        ("queued.max.messages.kbytes", "16384"), ("fetch.wait.max.ms", "100"),
        ("allow.auto.create.topics", "false"),
      ] + (instance.map { [("group.instance.id", $0)] } ?? []),
      events: RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_FETCH, on: reactor,
      logger: logger, onEvents: { doorbell.ring() })
    let list = rd_kafka_topic_partition_list_new(Int32(topics.count))
    defer { rd_kafka_topic_partition_list_destroy(list) }
    for topic in topics { rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA) }
    let code = rd_kafka_subscribe(client.handle.pointer, list)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw KafkaError(code, "subscribing to \(topics.joined(separator: ", "))", brokers: client.brokers)
    }
  }

  /// Waits up to `timeout` for messages and returns at most `maximum` of them.
  ///
  /// - Returns: An empty array if no message came in that time.
  public func next(maximum: Int, timeout: Duration) async throws -> [KafkaMessage] {
    let deadline = ContinuousClock.now + timeout
    while true {
      let messages = takeEvents(maximum: maximum)
      if let failure {
        self.failure = nil
        throw failure
      }
      if !messages.isEmpty { return messages }
      switch await doorbell.wait(timeout: max(.zero, deadline - .now)) {
      case .rung: continue
      case .timedOut: return []
      case .cancelled: throw CancellationError()
      }
    }
  }

  private func takeEvents(maximum: Int) -> [KafkaMessage] {
    var messages: [KafkaMessage] = []
    while messages.count < maximum,
      client.nextEvent({ event, type in
        switch type {
        case RD_KAFKA_EVENT_FETCH:
          while let message = rd_kafka_event_message_next(event) { take(message, &messages) }
        case RD_KAFKA_EVENT_REBALANCE: rebalance(event)
        case RD_KAFKA_EVENT_OFFSET_COMMIT:
          let code = rd_kafka_event_error(event)
          if code != RD_KAFKA_RESP_ERR_NO_ERROR, code != RD_KAFKA_RESP_ERR__NO_OFFSET {
            logger.warning("Committing an offset failed", metadata: [.error: String(cString: rd_kafka_err2str(code))])
          }
        default: break
        }
      })
    {}
    return messages
  }

  private func take(_ message: UnsafePointer<rd_kafka_message_t>, _ messages: inout [KafkaMessage]) {
    let content = message.pointee
    guard content.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
      // A missing topic may be created later, so the consumer continues.
      if content.err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART {
        failure = KafkaError(content.err, "consuming", brokers: client.brokers)
      }
      return
    }
    func bytes(_ start: UnsafeMutableRawPointer?, _ count: Int) -> [UInt8]? {
      start.map { Array(UnsafeRawBufferPointer(start: $0, count: count)) }
    }
    messages.append(
      KafkaMessage(
        source: TopicPartition(
          topic: String(cString: rd_kafka_topic_name(content.rkt)), partition: content.partition),
        offset: content.offset, key: bytes(content.key, content.key_len),
        value: bytes(content.payload, content.len), headers: headers(of: message)))
  }

  private func headers(of message: UnsafePointer<rd_kafka_message_t>) -> [(name: String, value: [UInt8])] {
    var list: OpaquePointer?
    guard rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return [] }
    return (0..<rd_kafka_header_cnt(list)).compactMap { index in
      var name: UnsafePointer<CChar>?
      var value: UnsafeRawPointer?
      var count = 0
      guard rd_kafka_header_get_all(list, index, &name, &value, &count) == RD_KAFKA_RESP_ERR_NO_ERROR, let name else {
        return nil
      }
      return (String(cString: name), Array(UnsafeRawBufferPointer(start: value, count: count)))
    }
  }

  private func rebalance(_ event: OpaquePointer) {
    guard let list = rd_kafka_event_topic_partition_list(event) else { return }
    let partitions = (0..<Int(list.pointee.cnt)).map { index in
      TopicPartition(
        topic: String(cString: list.pointee.elems[index].topic), partition: list.pointee.elems[index].partition)
    }
    if rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
      _ = rd_kafka_assign(client.handle.pointer, list)
      assignment = Set(partitions)
    } else {
      _ = rd_kafka_assign(client.handle.pointer, nil)
      assignment = []
    }
    logger.info("The assignment of partitions changed", metadata: [.count: "\(assignment.count)"])
  }

  /// Commits an offset for each partition: all messages before it are processed. Does not wait for the result. A
  /// failure is logged; the next commit replaces the failed one.
  public func commit(_ offsets: [TopicPartition: Int64]) throws(KafkaError) {
    guard !offsets.isEmpty else { return }
    let list = rd_kafka_topic_partition_list_new(Int32(offsets.count))
    defer { rd_kafka_topic_partition_list_destroy(list) }
    for (source, offset) in offsets {
      let element = rd_kafka_topic_partition_list_add(list, source.topic, source.partition)
      element?.pointee.offset = offset
    }
    let code = rd_kafka_commit(client.handle.pointer, list, 1)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw KafkaError(code, "committing offsets", brokers: client.brokers)
    }
  }

  /// Leaves the group and closes the client.
  public func close() async {
    let handle = client.handle
    await Reactor.offLoop { _ = rd_kafka_consumer_close(handle.pointer) }
    await client.close()
    doorbell.close()
  }
}
