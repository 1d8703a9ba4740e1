import CRdkafka
public import Logging
public import Reactor

/// How messages fared, in the order in which that was told.
public struct DeliveryReports: Sendable {
  /// Tokens of messages that all in-sync replicas have.
  public private(set) var delivered: [Int] = []
  /// Messages that will not arrive any more.
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
        KafkaError(message.err, "delivering", brokers: brokers)
      ))
  }
}

/// A topic that a producer sends to. It is the producer's: good as long as that is open.
public struct KafkaTopic {
  let handle: OpaquePointer
}

/// An idempotent producer: acknowledged by all in-sync replicas, in order for each partition, keys spread as Java's
/// default partitioner does. It lives on its reactor's loop, in the isolation that made it.
public final class KafkaProducer {
  private var client: KafkaClient!
  /// A message's largest size, in bytes, whatever its topic takes.
  public static let maximumMessage = 100 << 20

  private var onDelivery: (DeliveryReports) -> Void
  private var topics: [String: OpaquePointer] = [:]

  /// - Parameters:
  ///   - compression: A codec of librdkafka: `none`, `lz4`, `zstd`, `gzip`, `snappy`.
  ///   - transactionalID: Makes the producer transactional: whoever begins with the same one fences this one off.
  ///   - maximumBytes: Messages that wait here for their acknowledgement, in bytes; beyond, `send` says `full`.
  ///   - onDelivery: Called on the loop with reports, in the order in which they came.
  public init(
    _ options: KafkaOptions, transactionalID: String? = nil, compression: String = "none",
    linger: Duration = .microseconds(500),
    maximumBytes: Int = 64 << 20, on reactor: Reactor, logger: Logger,
    onDelivery: @escaping (DeliveryReports) -> Void
  ) throws(KafkaError) {
    self.onDelivery = onDelivery
    client = try KafkaClient(
      RD_KAFKA_PRODUCER, options,
      settings: [
        ("enable.idempotence", "true"), ("acks", "all"), ("partitioner", "murmur2_random"),
        ("compression.type", compression),
        ("linger.ms", "\(linger / .milliseconds(1))"),
        ("queue.buffering.max.kbytes", "\(max(1, maximumBytes >> 10))"),
        ("queue.buffering.max.messages", "1000000"), ("batch.num.messages", "20000"),
        // Order and completeness are worth waiting for: a message is retried until the broker is back, or as long as its
        // transaction may last.
        ("message.timeout.ms", transactionalID == nil ? "0" : "\(Self.transactionTimeout)"),
        // Topics say what is too large; a batch is no larger for it (batch.size).
        ("message.max.bytes", "\(Self.maximumMessage)"),
      ]
        + (transactionalID.map {
          [("transactional.id", $0), ("transaction.timeout.ms", "\(Self.transactionTimeout)")]
        } ?? []), events: RD_KAFKA_EVENT_DR, on: reactor, logger: logger,
      onEvents: { [weak self] in self?.takeReports() })
  }

  /// In milliseconds; brokers allow a quarter of an hour unless they are told otherwise.
  static let transactionTimeout = 600_000

  // MARK: Transactions

  /// Whether one has been begun and not committed.
  public private(set) var isInTransaction = false

  /// Fences off whoever had the transactional id before, and ends what they left open. Once, before the first transaction.
  public func initializeTransactions() async throws(KafkaError) {
    try await transact("beginning as a transactional producer") { rd_kafka_init_transactions($0, 30_000) }
  }

  public func beginTransaction() throws(KafkaError) {
    if let error = rd_kafka_begin_transaction(client.handle.pointer) { throw take(error, "beginning a transaction") }
    isInTransaction = true
  }

  /// Waits until everything that was sent since the beginning is there and visible, as a whole.
  public func commitTransaction() async throws(KafkaError) {
    try await transact("committing a transaction") { rd_kafka_commit_transaction($0, -1) }
    isInTransaction = false
  }

  private func transact(
    _ operation: String, _ body: @escaping @Sendable (OpaquePointer) -> OpaquePointer?
  ) async throws(KafkaError) {
    let handle = client.handle
    // The loop goes on meanwhile, and takes the reports that this waits for.
    let error = await Reactor.offLoop { TransactionError(pointer: body(handle.pointer)) }
    if let pointer = error.pointer { throw take(pointer, operation) }
  }

  private struct TransactionError: @unchecked Sendable {  // unchecked: handed over once, to whoever destroys it
    let pointer: OpaquePointer?
  }

  private func take(_ error: OpaquePointer, _ operation: String) -> KafkaError {
    defer { rd_kafka_error_destroy(error) }
    return KafkaError(
      rd_kafka_error_code(error), operation, brokers: client.brokers,
      reason: String(cString: rd_kafka_error_string(error)))
  }

  /// Hands a message over to be sent; its report comes with `token`. The bytes are copied.
  ///
  /// - Parameters:
  ///   - partition: Chosen by the key where it is nil.
  ///   - timestamp: Milliseconds since 1970; now where it is nil.
  /// - Throws: Of kind `full` while too much waits, and then nothing was taken.
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
        // No bytes are not the same as none: a null pointer says that there is no key or value at all.
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
      reason: String(cString: rd_kafka_error_string(error)))
  }

  /// A message without headers.
  public func send(
    topic: String, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, token: Int
  ) throws(KafkaError) {
    try send(to: self.topic(topic), key: key, value: value, headers: [], token: token)
  }

  /// The topic of that name.
  public func topic(_ name: String) throws(KafkaError) -> KafkaTopic {
    if let handle = topics[name] { return KafkaTopic(handle: handle) }
    guard let handle = rd_kafka_topic_new(client.handle.pointer, name, nil) else {
      throw KafkaError(rd_kafka_last_error(), "opening topic \(name)", brokers: client.brokers)
    }
    topics[name] = handle
    return KafkaTopic(handle: handle)
  }

  /// Messages that wait to be sent or acknowledged.
  public var waiting: Int { Int(rd_kafka_outq_len(client.handle.pointer)) }

  /// The error after which this producer can send nothing more, if there was one.
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

  /// Drops what has not been sent and ends. What was sent may still arrive; nothing is reported any more.
  public func close() async {
    onDelivery = { _ in }
    for topic in topics.values { rd_kafka_topic_destroy(topic) }
    topics = [:]
    rd_kafka_purge(client.handle.pointer, Int32(RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT))
    await client.close()
  }
}
