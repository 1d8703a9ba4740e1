import CRdkafka
public import Logging
public import Reactor

/// How one message fared.
public struct DeliveryReport: Sendable {
  /// What the message was sent with.
  public let token: Int
  /// nil: all in-sync replicas have it.
  public let error: KafkaError?
}

/// An idempotent producer: acknowledged by all in-sync replicas, in order for each partition, keys spread as Java's
/// default partitioner does. It lives on its reactor's loop, in the isolation that made it.
public final class KafkaProducer {
  private var client: KafkaClient!
  private var onDelivery: ([DeliveryReport]) -> Void

  /// - Parameters:
  ///   - compression: A codec of librdkafka: `none`, `lz4`, `zstd`, `gzip`, `snappy`.
  ///   - maximumBytes: Messages that wait here for their acknowledgement, in bytes; beyond, `send` says `full`.
  ///   - onDelivery: Called on the loop with reports, in the order in which they came.
  public init(
    _ options: KafkaOptions, compression: String = "none", linger: Duration = .milliseconds(2),
    maximumBytes: Int = 64 << 20, on reactor: Reactor, logger: Logger,
    onDelivery: @escaping ([DeliveryReport]) -> Void
  ) throws(KafkaError) {
    self.onDelivery = onDelivery
    client = try KafkaClient(
      RD_KAFKA_PRODUCER, options,
      settings: [
        ("enable.idempotence", "true"), ("acks", "all"), ("partitioner", "murmur2_random"),
        ("compression.type", compression),
        ("linger.ms", "\(linger.components.attoseconds / 1_000_000_000_000_000 + linger.components.seconds * 1_000)"),
        ("queue.buffering.max.kbytes", "\(max(1, maximumBytes >> 10))"),
        ("queue.buffering.max.messages", "1000000"), ("batch.num.messages", "20000"),
        // Order and completeness are worth waiting for: a message is retried until the broker is back.
        ("message.timeout.ms", "0"),
      ], events: RD_KAFKA_EVENT_DR, on: reactor, logger: logger,
      onEvents: { [weak self] in self?.takeReports() })
  }

  /// Hands a message over to be sent; its report comes with `token`. The bytes are copied.
  ///
  /// - Throws: Of kind `full` while too much waits, and then nothing was taken.
  public func send(
    topic: String, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?,
    headers: [(name: StaticString, value: [UInt8])] = [], token: Int
  ) throws(KafkaError) {
    let list = headers.isEmpty ? nil : rd_kafka_headers_new(headers.count)
    for header in headers {
      header.value.withUnsafeBytes { bytes in
        _ = rd_kafka_header_add(
          list, UnsafeRawPointer(header.name.utf8Start).assumingMemoryBound(to: CChar.self),
          header.name.utf8CodeUnitCount, bytes.baseAddress, bytes.count)
      }
    }
    let error = topic.withCString { topic in
      withUnsafeTemporaryAllocation(of: rd_kafka_vu_t.self, capacity: 6) { parts in
        parts.initialize(repeating: rd_kafka_vu_t())
        parts[0].vtype = RD_KAFKA_VTYPE_TOPIC
        parts[0].u.cstr = topic
        parts[1].vtype = RD_KAFKA_VTYPE_KEY
        parts[1].u.mem.ptr = UnsafeMutableRawPointer(mutating: key?.baseAddress)
        parts[1].u.mem.size = key?.count ?? 0
        parts[2].vtype = RD_KAFKA_VTYPE_VALUE
        parts[2].u.mem.ptr = UnsafeMutableRawPointer(mutating: value?.baseAddress)
        parts[2].u.mem.size = value?.count ?? 0
        parts[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS
        parts[3].u.i = Int32(RD_KAFKA_MSG_F_COPY)
        parts[4].vtype = RD_KAFKA_VTYPE_OPAQUE
        parts[4].u.ptr = UnsafeMutableRawPointer(bitPattern: token)
        parts[5].vtype = RD_KAFKA_VTYPE_HEADERS
        parts[5].u.headers = list
        return rd_kafka_produceva(client.handle.pointer, parts.baseAddress, list == nil ? 5 : 6)
      }
    }
    guard let error else { return }
    defer { rd_kafka_error_destroy(error) }
    if let list { rd_kafka_headers_destroy(list) }
    throw KafkaError(
      rd_kafka_error_code(error), "producing", brokers: client.brokers,
      reason: String(cString: rd_kafka_error_string(error)))
  }

  /// Messages that wait to be sent or acknowledged.
  public var waiting: Int { Int(rd_kafka_outq_len(client.handle.pointer)) }

  /// The error after which this producer can send nothing more, if there was one.
  public var fatalError: KafkaError? { client.fatalError }

  private func takeReports() {
    var reports: [DeliveryReport] = []
    while client.nextEvent({ event, type in
      guard type == RD_KAFKA_EVENT_DR else { return }
      reports.reserveCapacity(reports.count + rd_kafka_event_message_count(event))
      while let message = rd_kafka_event_message_next(event) {
        let code = message.pointee.err
        reports.append(
          DeliveryReport(
            token: Int(bitPattern: message.pointee._private),
            error: code == RD_KAFKA_RESP_ERR_NO_ERROR
              ? nil : KafkaError(code, "delivering", brokers: client.brokers)))
      }
    }) {}
    if !reports.isEmpty { onDelivery(reports) }
  }

  /// Drops what has not been sent and ends. What was sent may still arrive; nothing is reported any more.
  public func close() async {
    onDelivery = { _ in }
    rd_kafka_purge(client.handle.pointer, Int32(RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT))
    await client.close()
  }
}
