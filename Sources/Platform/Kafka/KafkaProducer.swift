import CRdkafka
public import Logging
public import Reactor

/// Delivered and failed messages, each in the order in which librdkafka reported them.
public struct DeliveryReports: Sendable {
  /// Tokens of messages that all in-sync replicas acknowledged.
  public private(set) var delivered: [Int] = []
  /// Messages that will not be delivered.
  public private(set) var failed: [(token: Int, topic: String?, key: [UInt8]?, error: KafkaError)] = []

  public init(delivered: [Int] = []) { self.delivered = delivered }

  var isEmpty: Bool { delivered.isEmpty && failed.isEmpty }

  mutating func add(_ message: rd_kafka_message_t, _ brokers: String) {
    let token = Int(bitPattern: message._private)
    guard message.err != RD_KAFKA_RESP_ERR_NO_ERROR else { return delivered.append(token) }
    let key = message.key.map { Array(UnsafeRawBufferPointer(start: $0, count: message.key_len)) }
    failed.append(
      (
        token, message.rkt.map { String(cString: rd_kafka_topic_name($0)) }, key,
        KafkaError(message.err, "delivering", brokers: brokers, as: KafkaError.Kind.report)
      ))
  }
}

/// A topic that a producer sends to. It is valid until that producer is closed.
public struct KafkaTopic {
  let handle: OpaquePointer
}

/// An idempotent producer. All in-sync replicas acknowledge a message, each partition keeps the order, and keys map to
/// partitions as with Java's default partitioner. Use it on its reactor's loop, in the isolation that created it.
public final class KafkaProducer {
  private var client: KafkaClient!
  /// Maximum size of a message in bytes, even if its topic accepts more.
  public static let maximumMessage = 100 << 20
  /// librdkafka's default. Kafka's default limit of a topic is a little larger.
  public static let defaultBatch = 1_000_000

  private var onDelivery: (DeliveryReports) -> Void
  private var topics: [String: OpaquePointer] = [:]

  /// - Parameters:
  ///   - compression: A codec of librdkafka: `none`, `lz4`, `zstd`, `gzip`, `snappy`.
  ///   - batchBytes: Maximum size of a batch of several messages, before compression. A topic that accepts less refuses all
  ///     messages of a batch together.
  ///   - isGapless: A message that is refused ends the producer, so that no later one of its partition overtakes it.
  ///   - transactionalID: Makes the producer transactional. A later producer with the same id fences this one.
  ///   - maximumBytes: Bound on messages without an acknowledgement, in bytes. Beyond it `send` throws `full`.
  ///   - onDelivery: Called on the loop with reports, in the order in which they came.
  public init(
    _ options: KafkaOptions, transactionalID: String? = nil, compression: String = "none",
    linger: Duration = .microseconds(500), batchBytes: Int = KafkaProducer.defaultBatch, isGapless: Bool = false,
    maximumBytes: Int = 64 << 20, on reactor: Reactor, logger: Logger,
    onDelivery: @escaping (DeliveryReports) -> Void
  ) throws(KafkaError) {
    self.onDelivery = onDelivery
    var guarded = [
      ("enable.idempotence", ["true"]), ("acks", ["all", "-1"]), ("request.required.acks", ["all", "-1"]),
    ]
    if isGapless {
      // A message that times out would be overtaken by those behind it.
      guarded += [
        ("enable.gapless.guarantee", ["true"]), ("message.timeout.ms", ["0"]), ("delivery.timeout.ms", ["0"]),
      ]
    }
    for (name, allowed) in guarded {
      guard let value = options.settings[name], !allowed.contains(value) else { continue }
      throw KafkaError(
        name: "_INVALID_ARG", operation: "setting \(name)", brokers: options.brokers,
        reason: "“\(value)” would lose, repeat or reorder messages; remove it from kafka.settings", kind: .configuration
      )
    }
    client = try KafkaClient(
      RD_KAFKA_PRODUCER, options,
      settings: [
        ("enable.idempotence", "true"), ("acks", "all"), ("partitioner", "murmur2_random"),
        ("compression.type", compression),
        ("linger.ms", "\(linger / .milliseconds(1))"),
        ("queue.buffering.max.kbytes", "\(max(1, maximumBytes >> 10))"),
        ("queue.buffering.max.messages", "1000000"), ("batch.num.messages", "20000"),
        ("batch.size", "\(max(1, batchBytes))"), ("enable.gapless.guarantee", isGapless ? "true" : "false"),
        // A late message is better than a lost one: retry until the broker is back, or until the transaction times
        // out.
        ("message.timeout.ms", transactionalID == nil ? "0" : "\(Self.transactionTimeout)"),
        // The topic's own limit decides. Batches do not grow with this limit (batch.size).
        ("message.max.bytes", "\(Self.maximumMessage)"),
      ]
        + (transactionalID.map {
          [("transactional.id", $0), ("transaction.timeout.ms", "\(Self.transactionTimeout)")]
        } ?? []), events: RD_KAFKA_EVENT_DR, on: reactor, logger: logger,
      onEvents: { [weak self] in self?.takeReports() })
  }

  /// The time-out of a transaction in milliseconds. Brokers allow up to 15 minutes by default.
  static let transactionTimeout = 600_000

  // MARK: Transactions

  /// True while a transaction is begun and not committed.
  public private(set) var isInTransaction = false

  /// Fences earlier producers with the same transactional id and ends their open transaction. Call it once, before the
  /// first transaction.
  public func initializeTransactions() async throws(KafkaError) {
    try await transact("initializing transactions") { rd_kafka_init_transactions($0, 30_000) }
  }

  public func beginTransaction() throws(KafkaError) {
    if let error = rd_kafka_begin_transaction(client.handle.pointer) { throw take(error, "beginning a transaction") }
    isInTransaction = true
  }

  /// Commits the transaction. Waits until all its messages are written and visible together.
  public func commitTransaction() async throws(KafkaError) {
    try await transact("committing a transaction") { rd_kafka_commit_transaction($0, -1) }
    isInTransaction = false
  }

  private func transact(
    _ operation: String, _ body: @escaping @Sendable (OpaquePointer) -> OpaquePointer?
  ) async throws(KafkaError) {
    let handle = client.handle
    // Meanwhile the loop runs and takes the delivery reports that this call waits for.
    let error = await Reactor.offLoop(.remote) { TransactionError(pointer: body(handle.pointer)) }
    if let pointer = error.pointer { throw take(pointer, operation) }
  }

  private struct TransactionError: @unchecked Sendable {  // unchecked: handed over once, to whoever destroys it
    let pointer: OpaquePointer?
  }

  private func take(_ error: OpaquePointer, _ operation: String) -> KafkaError {
    defer { rd_kafka_error_destroy(error) }
    return KafkaError(
      rd_kafka_error_code(error), operation, brokers: client.brokers,
      reason: String(cString: rd_kafka_error_string(error)), as: KafkaError.Kind.transaction)
  }

  /// Queues a message for sending. Its delivery report has the same `token`. The bytes are copied.
  ///
  /// - Parameters:
  ///   - partition: nil: chosen by the key.
  ///   - timestamp: Milliseconds since 1970; nil: now.
  /// - Throws: An error of kind `full` while too many bytes wait. The message is then not queued.
  public func send(
    to topic: KafkaTopic, partition: Int32? = nil, timestamp: Int64? = nil, key: UnsafeRawBufferPointer?,
    value: UnsafeRawBufferPointer?,
    headers: [(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?)], token: Int
  ) throws(KafkaError) {
    let list = headers.isEmpty ? nil : rd_kafka_headers_new(headers.count)
    for header in headers {
      _ = rd_kafka_header_add(
        list, header.name.baseAddress?.assumingMemoryBound(to: CChar.self), header.name.count,
        header.value.map { $0.baseAddress ?? UnsafeRawPointer(bitPattern: 1)! }, header.value?.count ?? 0)
    }
    let error = withUnsafeTemporaryAllocation(of: rd_kafka_vu_t.self, capacity: 8) { parts in
      parts.initialize(repeating: rd_kafka_vu_t())
      var count = 0
      func add(_ type: rd_kafka_vtype_t, _ body: (inout rd_kafka_vu_t) -> Void) {
        parts[count].vtype = type
        body(&parts[count])
        count += 1
      }
      func memory(_ bytes: UnsafeRawBufferPointer?, _ part: inout rd_kafka_vu_t) {
        // Empty is not the same as absent: a null pointer means that there is no key or value.
        part.u.mem.ptr = bytes.map {
          UnsafeMutableRawPointer(mutating: $0.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!)
        }
        part.u.mem.size = bytes?.count ?? 0
      }
      add(RD_KAFKA_VTYPE_RKT) { $0.u.rkt = topic.handle }
      add(RD_KAFKA_VTYPE_KEY) { memory(key, &$0) }
      add(RD_KAFKA_VTYPE_VALUE) { memory(value, &$0) }
      add(RD_KAFKA_VTYPE_MSGFLAGS) { $0.u.i = Int32(RD_KAFKA_MSG_F_COPY) }
      add(RD_KAFKA_VTYPE_OPAQUE) { $0.u.ptr = UnsafeMutableRawPointer(bitPattern: token) }
      if let partition { add(RD_KAFKA_VTYPE_PARTITION) { $0.u.i32 = partition } }
      if let timestamp { add(RD_KAFKA_VTYPE_TIMESTAMP) { $0.u.i64 = timestamp } }
      if let list { add(RD_KAFKA_VTYPE_HEADERS) { $0.u.headers = list } }
      return rd_kafka_produceva(client.handle.pointer, parts.baseAddress, count)
    }
    guard let error else { return }
    defer { rd_kafka_error_destroy(error) }
    if let list { rd_kafka_headers_destroy(list) }
    throw KafkaError(
      rd_kafka_error_code(error), "producing", brokers: client.brokers,
      reason: String(cString: rd_kafka_error_string(error)), as: KafkaError.Kind.produce)
  }

  /// Sends a message without headers.
  public func send(
    topic: String, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, token: Int
  ) throws(KafkaError) {
    try send(to: self.topic(topic), key: key, value: value, headers: [], token: token)
  }

  /// Returns the topic with this name.
  public func topic(_ name: String) throws(KafkaError) -> KafkaTopic {
    if let handle = topics[name] { return KafkaTopic(handle: handle) }
    guard let handle = rd_kafka_topic_new(client.handle.pointer, name, nil) else {
      throw KafkaError(rd_kafka_last_error(), "opening topic \(name)", brokers: client.brokers)
    }
    topics[name] = handle
    return KafkaTopic(handle: handle)
  }

  /// The number of partitions of each topic that this producer writes to, as the cluster says now.
  public func partitions() async throws(KafkaError) -> [String: Int] {
    let (handle, brokers, names) = (client.handle, client.brokers, Set(topics.keys))
    return try await Reactor.offLoop(.remote) { () throws(KafkaError) in
      var pointer: UnsafePointer<rd_kafka_metadata>?
      // Without a topic's name: of all topics that this client knows.
      let code = rd_kafka_metadata(handle.pointer, 0, nil, &pointer, 1_000)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let pointer else {
        throw KafkaError(code, "requesting metadata", brokers: brokers)
      }
      defer { rd_kafka_metadata_destroy(pointer) }
      var partitions: [String: Int] = [:]
      for index in 0..<Int(pointer.pointee.topic_cnt) {
        let topic = pointer.pointee.topics[index]
        let name = String(cString: topic.topic)
        if topic.err == RD_KAFKA_RESP_ERR_NO_ERROR, names.contains(name) { partitions[name] = Int(topic.partition_cnt) }
      }
      return partitions
    }
  }

  /// The number of messages that wait to be sent or acknowledged.
  public var waiting: Int { Int(rd_kafka_outq_len(client.handle.pointer)) }

  /// The fatal error after which this producer cannot send any more, or nil.
  public var fatalError: KafkaError? { client.fatalError }

  private func takeReports() {
    var reports = DeliveryReports()
    while client.nextEvent({ event, type in
      guard type == RD_KAFKA_EVENT_DR else { return }
      while let message = rd_kafka_event_message_next(event) {
        reports.add(message.pointee, client.brokers)
      }
    }) {}
    if !reports.isEmpty { onDelivery(reports) }
  }

  /// Drops unsent messages and closes the producer. Messages already sent may still arrive. No more reports follow.
  public func close() async {
    onDelivery = { _ in }
    for topic in topics.values { rd_kafka_topic_destroy(topic) }
    topics = [:]
    rd_kafka_purge(client.handle.pointer, Int32(RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT))
    await client.close()
  }
}
