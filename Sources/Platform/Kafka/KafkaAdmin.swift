import CRdkafka
import Glibc
import Reactor
import Synchronization

/// Lists brokers and topics, creates topics and changes their settings.
///
/// All calls share one client, made for the first; each waits for it on a blocking thread (`Reactor.offLoop`).
public final class KafkaAdmin: Sendable {
  private let options: KafkaOptions
  private let timeout: Duration
  private let client = Mutex<Handle?>(nil)

  /// librdkafka's handles may be used from any thread (its documentation, “Threads and callbacks”).
  private struct Handle: @unchecked Sendable { let pointer: OpaquePointer }

  public init(_ options: KafkaOptions, timeout: Duration = .seconds(10)) {
    (self.options, self.timeout) = (options, timeout)
  }

  deinit {
    // Destroying waits for the client's threads.
    if let handle = client.withLock({ $0 }) {
      Task.detached { await Reactor.offLoop(.remote) { rd_kafka_destroy(handle.pointer) } }
    }
  }

  private func handle() throws(KafkaError) -> OpaquePointer {
    try client.withLock { known throws(KafkaError) in
      if let known { return known }
      let made = Handle(pointer: try makeHandle(RD_KAFKA_PRODUCER, ["allow.auto.create.topics": "false"]))
      known = made
      return made
    }.pointer
  }

  public struct ClusterDescription: Sendable {
    public let brokers: [String]
    /// The number of partitions of each topic.
    public let topics: [String: Int]
  }

  /// Asks the cluster for its brokers and topics.
  public func describe() async throws(KafkaError) -> ClusterDescription {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in try self.describeNow() }
  }

  private func describeNow() throws(KafkaError) -> ClusterDescription {
    try withMetadata(of: nil, "requesting metadata") { metadata in
      let brokers = (0..<Int(metadata.broker_cnt)).map {
        "\(String(cString: metadata.brokers[$0].host)):\(metadata.brokers[$0].port)"
      }
      var topics: [String: Int] = [:]
      for index in 0..<Int(metadata.topic_cnt) {
        topics[String(cString: metadata.topics[index].topic)] = Int(metadata.topics[index].partition_cnt)
      }
      return ClusterDescription(brokers: brokers, topics: topics)
    }
  }

  /// Lends the metadata of one topic, or of all.
  private func withMetadata<Value>(
    of topic: String?, _ operation: String, _ body: (rd_kafka_metadata) throws(KafkaError) -> Value
  ) throws(KafkaError) -> Value {
    let handle = try handle()
    let reference = topic.flatMap { rd_kafka_topic_new(handle, $0, nil) }
    if topic != nil, reference == nil { throw KafkaError(rd_kafka_last_error(), operation, brokers: options.brokers) }
    defer { if let reference { rd_kafka_topic_destroy(reference) } }
    var pointer: UnsafePointer<rd_kafka_metadata>?
    let code = rd_kafka_metadata(handle, topic == nil ? 1 : 0, reference, &pointer, milliseconds)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let pointer else {
      throw KafkaError(code, operation, brokers: options.brokers)
    }
    defer { rd_kafka_metadata_destroy(pointer) }
    return try body(pointer.pointee)
  }

  /// The number of a topic's partitions; nil if there is no such topic.
  public func partitions(of topic: String) async throws(KafkaError) -> Int? {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in try self.partitionsNow(of: topic) }
  }

  private func partitionsNow(of topic: String) throws(KafkaError) -> Int? {
    let operation = "looking for topic \(topic)"
    return try withMetadata(of: topic, operation) { metadata throws(KafkaError) in
      guard metadata.topic_cnt == 1 else { return nil }
      let found = metadata.topics[0]
      switch found.err {
      case RD_KAFKA_RESP_ERR_NO_ERROR: return Int(found.partition_cnt)
      case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC: return nil
      // Just created: it exists.
      case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE: return max(1, Int(found.partition_cnt))
      case let code: throw KafkaError(code, operation, brokers: options.brokers)
      }
    }
  }

  /// Creates a topic unless it exists.
  ///
  /// - Parameter replication: Replicas of each partition; nil: the cluster's default.
  /// - Returns: True if this call created the topic, false if it existed.
  @discardableResult
  public func createTopic(
    _ name: String, partitions: Int, replication: Int? = nil, settings: [String: String] = [:]
  ) async throws(KafkaError) -> Bool {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      try self.createTopicNow(name, partitions: partitions, replication: replication, settings: settings)
    }
  }

  private func createTopicNow(
    _ name: String, partitions: Int, replication: Int?, settings: [String: String]
  ) throws(KafkaError) -> Bool {
    let operation = "creating topic \(name)"
    var message = [CChar](repeating: 0, count: 256)
    var topic = rd_kafka_NewTopic_new(name, Int32(partitions), Int32(replication ?? -1), &message, message.count)
    guard topic != nil else {
      throw KafkaError(RD_KAFKA_RESP_ERR__INVALID_ARG, operation, brokers: options.brokers)
    }
    defer { rd_kafka_NewTopic_destroy(topic) }
    for (key, value) in settings { _ = rd_kafka_NewTopic_set_config(topic, key, value) }
    var reason: String?
    let code = try ask(operation, { rd_kafka_CreateTopics($0, &topic, 1, nil, $1) }) { event in
      let code = rd_kafka_event_error(event)
      var count = 0
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let result = rd_kafka_event_CreateTopics_result(event),
        let topics = rd_kafka_CreateTopics_result_topics(result, &count), count > 0
      else { return code }
      reason = rd_kafka_topic_result_error_string(topics[0]).map { String(cString: $0) }
      return rd_kafka_topic_result_error(topics[0])
    }
    if code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS { return false }
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw KafkaError(code, operation, brokers: options.brokers, reason: reason)
    }
    return true
  }

  /// Deletes a topic if it exists.
  public func deleteTopic(_ name: String) async throws(KafkaError) {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      let operation = "deleting topic \(name)"
      var topic = rd_kafka_DeleteTopic_new(name)
      defer { rd_kafka_DeleteTopic_destroy(topic) }
      let code = try self.ask(operation, { rd_kafka_DeleteTopics($0, &topic, 1, nil, $1) }) { event in
        let code = rd_kafka_event_error(event)
        var count = 0
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let result = rd_kafka_event_DeleteTopics_result(event),
          let topics = rd_kafka_DeleteTopics_result_topics(result, &count), count > 0
        else { return code }
        return rd_kafka_topic_result_error(topics[0])
      }
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART else {
        throw KafkaError(code, operation, brokers: self.options.brokers)
      }
    }
  }

  /// Returns the value of a topic's setting, or nil if there is no setting with this name.
  public func setting(_ name: String, of topic: String) async throws(KafkaError) -> String? {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in try self.settingNow(name, of: topic) }
  }

  private func settingNow(_ name: String, of topic: String) throws(KafkaError) -> String? {
    var resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic)
    defer { rd_kafka_ConfigResource_destroy(resource) }
    let operation = "reading the setting \(name) of topic \(topic)"
    var value: String?
    let code = try ask(operation, { rd_kafka_DescribeConfigs($0, &resource, 1, nil, $1) }) { event in
      let code = rd_kafka_event_error(event)
      var count = 0
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let result = rd_kafka_event_DescribeConfigs_result(event),
        let resources = rd_kafka_DescribeConfigs_result_resources(result, &count), count > 0, let first = resources[0]
      else { return code }
      var entries = 0
      let list = rd_kafka_ConfigResource_configs(first, &entries)
      for index in 0..<entries {
        guard let entry = list?[index], let key = rd_kafka_ConfigEntry_name(entry), String(cString: key) == name else {
          continue
        }
        value = rd_kafka_ConfigEntry_value(entry).map { String(cString: $0) }
      }
      return rd_kafka_ConfigResource_error(first)
    }
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, operation, brokers: options.brokers) }
    return value
  }

  /// Replaces all settings of a topic: settings that are not listed return to the cluster's defaults.
  public func alter(_ topic: String, _ settings: [String: String]) async throws(KafkaError) {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in try self.alterNow(topic, settings) }
  }

  private func alterNow(_ topic: String, _ settings: [String: String]) throws(KafkaError) {
    var resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic)
    defer { rd_kafka_ConfigResource_destroy(resource) }
    for (name, value) in settings { _ = rd_kafka_ConfigResource_set_config(resource, name, value) }
    let operation = "altering topic \(topic)"
    let code = try ask(operation, { rd_kafka_AlterConfigs($0, &resource, 1, nil, $1) }) { event in
      let code = rd_kafka_event_error(event)
      var count = 0
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let result = rd_kafka_event_AlterConfigs_result(event),
        let resources = rd_kafka_AlterConfigs_result_resources(result, &count), count > 0, let first = resources[0]
      else { return code }
      return rd_kafka_ConfigResource_error(first)
    }
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, operation, brokers: options.brokers) }
  }

  /// The offset after the last message of each partition; topics that do not exist have none.
  public func endOffsets(of topics: [String]) async throws(KafkaError) -> [TopicPartition: Int64] {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      var offsets: [TopicPartition: Int64] = [:]
      for topic in topics {
        for partition in 0..<Int32(try self.partitionsNow(of: topic) ?? 0) {
          var (low, high) = (Int64(0), Int64(0))
          let deadline = ContinuousClock.now + self.timeout
          var code = RD_KAFKA_RESP_ERR_NO_ERROR
          repeat {
            code = rd_kafka_query_watermark_offsets(
              try self.handle(), topic, partition, &low, &high, self.milliseconds)
            // A topic that was just made, or whose leader has just changed: the client asks for the leader again.
            guard code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
            else { break }
            usleep(50_000)
          } while .now < deadline
          guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
            throw KafkaError(
              code, "asking for the end of \(topic), partition \(partition)", brokers: self.options.brokers)
          }
          offsets[TopicPartition(topic: topic, partition: partition)] = high
        }
      }
      return offsets
    }
  }

  /// Messages that a group has not processed yet, by partition; topics that do not exist have none. A partition for which the
  /// group has no offset counts from its beginning.
  public func backlog(of group: String, topics: [String]) async throws(KafkaError) -> [TopicPartition: Int64] {
    let ends = try await endOffsets(of: topics)
    let places = try await places(of: group, Array(ends.keys))
    return ends.reduce(into: [:]) { $0[$1.key] = max(0, $1.value - max(0, places[$1.key]?.offset ?? 0)) }
  }

  /// What a group has committed for each of these partitions.
  private func places(
    of group: String, _ partitions: [TopicPartition]
  ) async throws(KafkaError) -> [TopicPartition: GroupPlace] {
    guard !partitions.isEmpty else { return [:] }
    return try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      let handle = try self.makeHandle(RD_KAFKA_CONSUMER, ["group.id": group, "enable.auto.commit": "false"])
      defer { rd_kafka_destroy(handle) }
      return try GroupPlace.read(partitions, handle, timeout: self.milliseconds, brokers: self.options.brokers)
    }
  }

  /// When the first message that a group has not processed was written to each of these partitions, in milliseconds since 1970.
  public func oldest(
    _ partitions: [TopicPartition], of group: String
  ) async throws(KafkaError) -> [TopicPartition: Int64] {
    let places = try await places(of: group, partitions)
    // Without an offset of the group's: from the beginning.
    return try await messages(at: places.mapValues { max(0, $0.offset) }).mapValues(\.timestamp)
  }

  /// The first message at an offset or behind it, of each partition that has one. Reading disturbs no group.
  public func messages(
    at offsets: [TopicPartition: Int64]
  ) async throws(KafkaError) -> [TopicPartition: (offset: Int64, timestamp: Int64)] {
    guard !offsets.isEmpty else { return [:] }
    let partitions = Array(offsets.keys)
    return try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      let handle = try self.makeReader()
      defer { rd_kafka_destroy(handle) }
      let list = rd_kafka_topic_partition_list_t.list(of: partitions)
      defer { rd_kafka_topic_partition_list_destroy(list) }
      guard let list else { return [:] }
      for index in 0..<Int(list.pointee.cnt) {
        list.pointee.elems[index].offset = offsets[partitions[index]] ?? 0
      }
      let code = rd_kafka_assign(handle, list)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
        throw KafkaError(code, "reading the oldest messages", brokers: self.options.brokers)
      }
      defer { rd_kafka_consumer_close(handle) }
      var found: [TopicPartition: (offset: Int64, timestamp: Int64)] = [:]
      var ended: Set<TopicPartition> = []
      let deadline = ContinuousClock.now + self.timeout
      while found.count + ended.count < partitions.count, .now < deadline {
        guard let message = rd_kafka_consumer_poll(handle, 200) else { continue }
        defer { rd_kafka_message_destroy(message) }
        guard let topic = message.pointee.rkt else { continue }
        let partition = TopicPartition(
          topic: String(cString: rd_kafka_topic_name(topic)), partition: message.pointee.partition)
        guard found[partition] == nil else { continue }
        if message.pointee.err == RD_KAFKA_RESP_ERR__PARTITION_EOF { ended.insert(partition) }
        guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
        found[partition] = (message.pointee.offset, rd_kafka_message_timestamp(message, nil))
      }
      guard found.count + ended.subtracting(found.keys).count == partitions.count else {
        throw KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, "reading single messages", brokers: self.options.brokers)
      }
      return found
    }
  }

  /// Looks for a message of a key by one of its headers, in the partition that the key has now. Reading disturbs no group.
  ///
  /// - Parameter since: When it was written at the earliest, in milliseconds since 1970.
  /// - Returns: nil if the partition has no such message, or not among the first 100,000 from then on.
  public func find(
    in topic: String, key: [UInt8], header name: String, _ value: [UInt8], since: Int64
  ) async throws(KafkaError) -> KafkaMessage? {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      guard let count = try self.partitionsNow(of: topic), count > 0 else { return nil }
      let operation = "looking for a message in \(topic)"
      let handle = try self.makeReader()
      defer { rd_kafka_destroy(handle) }
      // The producer's own partitioner.
      let partition = key.withUnsafeBytes {
        rd_kafka_msg_partitioner_murmur2(nil, $0.baseAddress, $0.count, Int32(count), nil, nil)
      }
      let list = rd_kafka_topic_partition_list_new(1)
      defer { rd_kafka_topic_partition_list_destroy(list) }
      rd_kafka_topic_partition_list_add(list, topic, partition)?.pointee.offset = max(0, since)
      var code = rd_kafka_offsets_for_times(handle, list, self.milliseconds)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, operation, brokers: self.options.brokers) }
      code = rd_kafka_assign(handle, list)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, operation, brokers: self.options.brokers) }
      defer { rd_kafka_consumer_close(handle) }
      let deadline = ContinuousClock.now + self.timeout
      var read = 0
      while read < 100_000 {
        guard .now < deadline else {
          throw KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, operation, brokers: self.options.brokers)
        }
        guard let message = rd_kafka_consumer_poll(handle, 200) else { continue }
        defer { rd_kafka_message_destroy(message) }
        if message.pointee.err == RD_KAFKA_RESP_ERR__PARTITION_EOF { return nil }
        guard message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR else { continue }
        read += 1
        let found = KafkaMessage(message, source: TopicPartition(topic: topic, partition: partition))
        if found.value != nil, found.header(name) == value { return found }
      }
      return nil
    }
  }

  /// Sets the offsets of a consumer group that has no members.
  public func setOffsets(_ offsets: [TopicPartition: Int64], of group: String) async throws(KafkaError) {
    guard !offsets.isEmpty else { return }
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      let handle = try self.makeHandle(RD_KAFKA_CONSUMER, ["group.id": group, "enable.auto.commit": "false"])
      defer { rd_kafka_destroy(handle) }
      rd_kafka_poll_set_consumer(handle)
      let list = rd_kafka_topic_partition_list_new(Int32(offsets.count))
      defer { rd_kafka_topic_partition_list_destroy(list) }
      for (partition, offset) in offsets {
        rd_kafka_topic_partition_list_add(list, partition.topic, partition.partition)?.pointee.offset = offset
      }
      let code = rd_kafka_commit(handle, list, 0)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
        throw KafkaError(code, "setting the offsets of group \(group)", brokers: self.options.brokers)
      }
    }
  }

  /// Returns the value of the last committed message in a topic's first partition, or nil if there is none. For topics
  /// that hold one value.
  public func lastValue(of topic: String) async throws(KafkaError) -> [UInt8]? {
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      // Try the tail first. It may hold no value, because transaction markers and aborted messages take offsets, too.
      for tail in [Int64(100), 10_000] { if let value = try self.lastValueNow(of: topic, among: tail) { return value } }
      return try self.lastValueNow(of: topic, among: nil)
    }
  }

  private func lastValueNow(of topic: String, among tail: Int64?) throws(KafkaError) -> [UInt8]? {
    let operation = "reading the last value of topic \(topic)"
    let handle = try makeHandle(
      RD_KAFKA_CONSUMER,
      [
        "group.id": "annals", "enable.auto.commit": "false", "isolation.level": "read_committed",
        "enable.partition.eof": "true", "auto.offset.reset": "earliest", "allow.auto.create.topics": "false",
      ])
    defer { rd_kafka_destroy(handle) }
    rd_kafka_poll_set_consumer(handle)
    let list = rd_kafka_topic_partition_list_new(1)
    defer { rd_kafka_topic_partition_list_destroy(list) }
    let start = tail.map { Int64(RD_KAFKA_OFFSET_TAIL_BASE) - $0 } ?? Int64(RD_KAFKA_OFFSET_BEGINNING)
    rd_kafka_topic_partition_list_add(list, topic, 0)?.pointee.offset = start
    let code = rd_kafka_assign(handle, list)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, operation, brokers: options.brokers) }
    defer { rd_kafka_consumer_close(handle) }
    var value: [UInt8]?
    let deadline = ContinuousClock.now + timeout
    while .now < deadline {
      guard let message = rd_kafka_consumer_poll(handle, 200) else { continue }
      defer { rd_kafka_message_destroy(message) }
      switch message.pointee.err {
      case RD_KAFKA_RESP_ERR_NO_ERROR:
        value = message.pointee.payload.map {
          Array(UnsafeRawBufferPointer(start: $0, count: message.pointee.len))
        }
      case RD_KAFKA_RESP_ERR__PARTITION_EOF: return value
      case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC: return nil
      case let code: throw KafkaError(code, operation, brokers: options.brokers)
      }
    }
    throw KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, operation, brokers: options.brokers)
  }

  /// Sends one request to the cluster and takes its answer.
  private func ask(
    _ operation: String, _ request: (OpaquePointer, OpaquePointer) -> Void,
    _ answer: (OpaquePointer) -> rd_kafka_resp_err_t
  ) throws(KafkaError) -> rd_kafka_resp_err_t {
    let handle = try handle()
    guard let queue = rd_kafka_queue_new(handle) else {
      throw KafkaError(RD_KAFKA_RESP_ERR__FAIL, operation, brokers: options.brokers)
    }
    defer { rd_kafka_queue_destroy(queue) }
    request(handle, queue)
    guard let event = rd_kafka_queue_poll(queue, milliseconds) else {
      throw KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, operation, brokers: options.brokers)
    }
    defer { rd_kafka_event_destroy(event) }
    return answer(event)
  }

  private var milliseconds: Int32 { Int32(timeout.components.seconds * 1_000) }

  /// A consumer that reads some messages and disturbs no group. To be destroyed.
  private func makeReader() throws(KafkaError) -> OpaquePointer {
    let handle = try makeHandle(
      RD_KAFKA_CONSUMER,
      [
        "group.id": "annals", "enable.auto.commit": "false", "auto.offset.reset": "earliest",
        "allow.auto.create.topics": "false", "queued.max.messages.kbytes": "1024", "enable.partition.eof": "true",
      ])
    rd_kafka_poll_set_consumer(handle)
    return handle
  }

  private func makeHandle(
    _ type: rd_kafka_type_t, _ more: [String: String]
  ) throws(KafkaError) -> OpaquePointer {
    let configuration = rd_kafka_conf_new()
    var message = [CChar](repeating: 0, count: 512)
    let settings = ["bootstrap.servers": options.brokers, "log_level": "2"].merging(more, uniquingKeysWith: { $1 })
    for (name, value) in settings.merging(options.settings, uniquingKeysWith: { $1 }) {
      guard rd_kafka_conf_set(configuration, name, value, &message, message.count) == RD_KAFKA_CONF_OK else {
        rd_kafka_conf_destroy(configuration)
        throw KafkaError(RD_KAFKA_RESP_ERR__INVALID_ARG, "setting \(name)", brokers: options.brokers)
      }
    }
    guard let handle = rd_kafka_new(type, configuration, &message, message.count) else {
      rd_kafka_conf_destroy(configuration)
      throw KafkaError(RD_KAFKA_RESP_ERR__INVALID_ARG, "creating a client", brokers: options.brokers)
    }
    return handle
  }
}
