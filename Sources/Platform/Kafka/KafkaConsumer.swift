import CRdkafka
import Glibc
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
  /// When it was produced, in milliseconds since 1970; nil: not known.
  public let timestamp: Int64?

  public init(
    source: TopicPartition, offset: Int64, key: [UInt8]?, value: [UInt8]?, headers: [(name: String, value: [UInt8])],
    timestamp: Int64?
  ) {
    (self.source, self.offset, self.key, self.value) = (source, offset, key, value)
    (self.headers, self.timestamp) = (headers, timestamp)
  }

  public func header(_ name: String) -> [UInt8]? { headers.last { $0.name == name }?.value }
}

extension KafkaMessage {
  /// Copies what librdkafka has read.
  init(_ message: UnsafePointer<rd_kafka_message_t>, source: TopicPartition) {
    let content = message.pointee
    func bytes(_ start: UnsafeMutableRawPointer?, _ count: Int) -> [UInt8]? {
      start.map { Array(UnsafeRawBufferPointer(start: $0, count: count)) }
    }
    let time = rd_kafka_message_timestamp(message, nil)
    self.init(
      source: source, offset: content.offset, key: bytes(content.key, content.key_len),
      value: bytes(content.payload, content.len), headers: Self.headers(of: message), timestamp: time < 0 ? nil : time)
  }

  private static func headers(
    of message: UnsafePointer<rd_kafka_message_t>
  ) -> [(name: String, value: [UInt8])] {
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
}

/// A member of a consumer group. It reads committed messages only, and commits offsets only when asked to. Use it on
/// its reactor's loop, in the isolation that created it.
public final class KafkaConsumer {
  private var client: KafkaClient!
  private let doorbell: Doorbell
  private let logger: Logger
  private var failure: KafkaError?
  public private(set) var assignment: Set<TopicPartition> = []
  /// Assigned partitions that were read to their end. A message that comes later takes its partition out.
  public private(set) var atEnd: Set<TopicPartition> = []
  /// Where the assigned partitions ended when their end was reached last.
  public private(set) var ends: [TopicPartition: Int64] = [:]
  /// nil: partitions without an offset begin at their first message.
  private var known: Set<TopicPartition>?
  /// Partitions that were not known: they began at their first message.
  private var found: Set<TopicPartition> = []
  /// Where partitions begin that are taken over; the group's own place for those that it leaves out.
  public typealias Starts = ([TopicPartition: GroupPlace]) async throws -> [TopicPartition: Int64]
  private let starts: Starts?
  /// The group has told this member its partitions, if only that there are none.
  private var wasAssigned = false
  /// Partitions that are to be taken over, once it is known where they begin. librdkafka waits for that.
  private var assigning: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?

  /// - Parameters:
  ///   - instance: The member's permanent name (`group.instance.id`). After a restart the group accepts the
  ///     member at once, without waiting for its old session to expire. The name must be unique within the group.
  ///   - known: Partitions for which the group has an offset. If it is gone, or out of the partition's range, `next` throws
  ///     `PlaceLost` instead of going on elsewhere. Partitions that are not known begin at their first message. nil: every
  ///     partition whose offset is missing does.
  ///   - starts: Asked when partitions are taken over; what it throws, `next` throws.
  public init(
    _ options: KafkaOptions, group: String, instance: String? = nil, topics: [String],
    known: Set<TopicPartition>? = nil, starts: Starts? = nil, on reactor: Reactor, logger: Logger
  ) throws(KafkaError) {
    let doorbell = Doorbell(on: reactor)
    self.known = known
    self.starts = starts
    self.doorbell = doorbell
    self.logger = logger
    client = try KafkaClient(
      RD_KAFKA_CONSUMER, options,
      settings: [
        ("group.id", group), ("enable.auto.commit", "false"),
        ("auto.offset.reset", known == nil ? "earliest" : "error"),
        ("isolation.level", "read_committed"), ("enable.partition.eof", "true"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        // A topic that appears later is found within this time.
        ("topic.metadata.refresh.interval.ms", "1000"), ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "1500"),
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
      // Nothing behind an assignment is taken before it is answered.
      let messages = assigning == nil ? takeEvents(maximum: maximum) : []
      if let failure {
        self.failure = nil
        throw failure
      }
      if let lost { throw lost }
      if !messages.isEmpty { return messages }
      if let starts, let assigning {
        let begin = try await starts(try await places(of: assigning))
        self.assigning = nil
        assign(assigning, beginning: begin)
        rd_kafka_topic_partition_list_destroy(assigning)
        continue
      }
      switch await doorbell.wait(timeout: max(.zero, deadline - .now)) {
      case .rung: continue
      case .timedOut: return []
      case .cancelled: throw CancellationError()
      }
    }
  }

  /// Partitions that were not known when they were assigned, since the last call.
  public func takeFound() -> Set<TopicPartition> {
    defer { found = [] }
    return found
  }

  /// Messages that each assigned partition has beyond an offset, as far as this client knows.
  public func lag(behind offsets: [TopicPartition: Int64]) -> [TopicPartition: Int64] {
    var lag: [TopicPartition: Int64] = [:]
    for (partition, next) in offsets where assignment.contains(partition) {
      var (low, high) = (Int64(0), Int64(0))
      let code = rd_kafka_get_watermark_offsets(
        client.handle.pointer, partition.topic, partition.partition, &low, &high)
      if code == RD_KAFKA_RESP_ERR_NO_ERROR { lag[partition] = atEnd.contains(partition) ? 0 : max(0, high - next) }
    }
    return lag
  }

  /// The group's place in a partition is gone: messages may have been missed.
  public struct PlaceLost: Error, Equatable, Sendable, CustomStringConvertible {
    public let partition: TopicPartition
    public let reason: String
    public init(partition: TopicPartition, reason: String) { (self.partition, self.reason) = (partition, reason) }
    public var description: String {
      "the place in \(partition.topic), partition \(partition.partition) is lost: \(reason)"
    }
  }

  private var lost: PlaceLost?

  /// True if the error is a partition's end, or the loss of the place in it.
  private func take(
    _ code: rd_kafka_resp_err_t, of partition: TopicPartition, at offset: Int64, _ reason: String
  ) -> Bool {
    switch code {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      atEnd.insert(partition)
      ends[partition] = max(ends[partition] ?? 0, offset)
    // A missing topic may be created later, so the consumer continues.
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC: break
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR__NO_OFFSET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      lost = lost ?? PlaceLost(partition: partition, reason: reason)
    default: return false
    }
    return true
  }

  private func takeEvents(maximum: Int) -> [KafkaMessage] {
    var messages: [KafkaMessage] = []
    while assigning == nil, messages.count < maximum,
      client.nextEvent(
        takeError: { event, code in
          guard let place = rd_kafka_event_topic_partition(event) else {
            return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
          }
          defer { rd_kafka_topic_partition_destroy(place) }
          let partition = TopicPartition(
            topic: String(cString: place.pointee.topic), partition: place.pointee.partition)
          return take(
            code, of: partition, at: place.pointee.offset, String(cString: rd_kafka_event_error_string(event)))
        },
        { event, type in
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
    let partition = TopicPartition(
      topic: String(cString: rd_kafka_topic_name(content.rkt)), partition: content.partition)
    guard content.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
      let reason = rd_kafka_message_errstr(message).map { String(cString: $0) } ?? ""
      if take(content.err, of: partition, at: content.offset, reason) { return }
      failure = KafkaError(content.err, "consuming", brokers: client.brokers)
      return
    }
    atEnd.remove(partition)
    messages.append(KafkaMessage(message, source: partition))
  }

  private func rebalance(_ event: OpaquePointer) {
    guard let list = rd_kafka_event_topic_partition_list(event) else { return }
    guard rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS else {
      return change(list, isAssigned: false)
    }
    wasAssigned = true
    if starts == nil {
      assign(list, beginning: [:])
    } else {
      assigning = rd_kafka_topic_partition_list_copy(list)
    }
  }

  private typealias Partitions = UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

  private static func partitions(of list: Partitions) -> [TopicPartition] {
    (0..<Int(list.pointee.cnt)).map { index in
      TopicPartition(
        topic: String(cString: list.pointee.elems[index].topic), partition: list.pointee.elems[index].partition)
    }
  }

  /// The group's places for the partitions of a list.
  private func places(of list: Partitions) async throws(KafkaError) -> [TopicPartition: GroupPlace] {
    let partitions = Self.partitions(of: list)
    let (handle, brokers) = (client.handle, client.brokers)
    return try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      try GroupPlace.read(partitions, handle.pointer, timeout: 10_000, brokers: brokers)
    }
  }

  private func assign(_ list: Partitions, beginning: [TopicPartition: Int64]) {
    for (index, partition) in Self.partitions(of: list).enumerated() {
      if let offset = beginning[partition] {
        list.pointee.elems[index].offset = offset
        known?.insert(partition)
      } else if known?.contains(partition) == false {
        list.pointee.elems[index].offset = Int64(RD_KAFKA_OFFSET_BEGINNING)
        known?.insert(partition)
        found.insert(partition)
      }
    }
    change(list, isAssigned: true)
  }

  private func change(_ list: Partitions, isAssigned: Bool) {
    let partitions = Self.partitions(of: list)
    let handle = client.handle.pointer
    let isCooperative = rd_kafka_rebalance_protocol(handle).map { String(cString: $0) } == "COOPERATIVE"
    var failure: String?
    if isCooperative {
      if let error = isAssigned
        ? rd_kafka_incremental_assign(handle, list) : rd_kafka_incremental_unassign(handle, list)
      {
        failure = String(cString: rd_kafka_error_string(error))
        rd_kafka_error_destroy(error)
      }
    } else {
      _ = rd_kafka_assign(handle, isAssigned ? list : nil)
    }
    if let failure {
      // This consumer no longer knows which partitions it has: whoever uses it makes a new one.
      self.failure = KafkaError(
        name: "_STATE", operation: isAssigned ? "taking partitions over" : "giving partitions up",
        brokers: client.brokers,
        reason: failure, kind: .fatal)
    }
    atEnd.subtract(partitions)
    for partition in partitions { ends[partition] = nil }
    if isAssigned { assignment.formUnion(partitions) } else { assignment.subtract(partitions) }
    logger.info("The assignment of partitions changed", metadata: [.count: "\(assignment.count)"])
  }

  /// Commits an offset for each partition: all messages before it are processed. Does not wait for the result. A
  /// failure is logged; the next commit replaces the failed one.
  ///
  /// - Parameter notes: Short texts that are kept with the offsets.
  public func commit(
    _ offsets: [TopicPartition: Int64], notes: [TopicPartition: String] = [:]
  ) throws(KafkaError) {
    guard !offsets.isEmpty else { return }
    let list = rd_kafka_topic_partition_list_new(Int32(offsets.count))
    defer { rd_kafka_topic_partition_list_destroy(list) }
    for (source, offset) in offsets {
      let element = rd_kafka_topic_partition_list_add(list, source.topic, source.partition)
      element?.pointee.offset = offset
      if let note = notes[source] {
        // The list frees it.
        element?.pointee.metadata = UnsafeMutableRawPointer(strdup(note))
        element?.pointee.metadata_size = note.utf8.count
      }
    }
    let code = rd_kafka_commit(client.handle.pointer, list, 1)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw KafkaError(code, "committing offsets", brokers: client.brokers)
    }
  }

  /// Commits offsets and waits until the group has them.
  public func commitNow(_ offsets: [TopicPartition: Int64]) async throws(KafkaError) {
    guard !offsets.isEmpty else { return }
    let (handle, brokers) = (client.handle, client.brokers)
    try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      let list = rd_kafka_topic_partition_list_new(Int32(offsets.count))
      defer { rd_kafka_topic_partition_list_destroy(list) }
      for (source, offset) in offsets {
        rd_kafka_topic_partition_list_add(list, source.topic, source.partition)?.pointee.offset = offset
      }
      let code = rd_kafka_commit(handle.pointer, list, 0)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, "committing offsets", brokers: brokers) }
    }
  }

  /// Up to librdkafka 2.2 the process ends if a member is closed between its entry into the group and its first partitions
  /// (confluentinc/librdkafka, issue 4312): they are waited for, up to this long, which is longer than the group waits for a
  /// member that is silent.
  private static let patience = Duration.seconds(8)
  /// A request to enter that is under way is answered within this time, or waits for other members for longer.
  private static let underWay = Duration.milliseconds(300)

  /// True from the group's answer on that takes the member in: the group's way of giving partitions is known then.
  private static func hasEntered(_ handle: KafkaClient.Handle) -> Bool {
    rd_kafka_rebalance_protocol(handle.pointer).map { String(cString: $0) } != "NONE"
  }

  /// Leaves the group, or does not enter it any more.
  ///
  /// - Returns: False if the partitions of a member have not come.
  private func leave() async -> Bool {
    let handle = client.handle
    let start = ContinuousClock.now
    if !wasAssigned {
      // Who has not asked to enter yet does not ask any more.
      await Reactor.offLoop(.remote) { if !Self.hasEntered(handle) { rd_kafka_unsubscribe(handle.pointer) } }
    }
    while !wasAssigned, .now < start + Self.patience {
      let mayClose = ContinuousClock.now > start + Self.underWay
      let isClosed = await Reactor.offLoop(.remote) {
        // In one go: an answer that comes in between would take it in.
        if mayClose, !Self.hasEntered(handle) {
          rd_kafka_consumer_close(handle.pointer)
          return true
        }
        // A cancelled task cannot sleep on its loop.
        usleep(10_000)
        return false
      }
      if isClosed { return true }
      _ = takeEvents(maximum: 1)
    }
    guard wasAssigned else { return false }
    if let assigning {
      change(assigning, isAssigned: true)
      rd_kafka_topic_partition_list_destroy(assigning)
      self.assigning = nil
    }
    await Reactor.offLoop(.remote) { _ = rd_kafka_consumer_close(handle.pointer) }
    return true
  }

  /// Leaves the group and closes the client.
  public func close() async {
    if await leave() {
      await client.close()
    } else {
      // It leaves its group, and is otherwise left as it is.
      logger.error("A consumer got no partitions and cannot be closed; it is abandoned")
      let handle = client.handle
      await Reactor.offLoop(.remote) { _ = rd_kafka_unsubscribe(handle.pointer) }
      client.abandon()
    }
    doorbell.close()
  }
}
