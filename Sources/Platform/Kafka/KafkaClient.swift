import CRdkafka
import Glibc
import Logging
import Reactor

/// One librdkafka handle. A pipe announces its events to a reactor's loop.
final class KafkaClient {
  /// librdkafka's handles may be used from any thread (its documentation, “Threads and callbacks”).
  struct Handle: @unchecked Sendable { let pointer: OpaquePointer }

  let handle: Handle
  let brokers: String
  private let queue: OpaquePointer
  private let logger: Logger
  private let pipe: (reading: Int32, writing: Int32)
  private var watch: Watch?

  init(
    _ type: rd_kafka_type_t, _ options: KafkaOptions, settings: [(String, String)], events: Int32, on reactor: Reactor,
    logger: Logger, onEvents: @escaping () -> Void
  ) throws(KafkaError) {
    brokers = options.brokers
    self.logger = logger
    handle = try Self.makeHandle(type, options, settings, events)
    if type == RD_KAFKA_CONSUMER {
      rd_kafka_poll_set_consumer(handle.pointer)
      queue = rd_kafka_queue_get_consumer(handle.pointer)
    } else {
      queue = rd_kafka_queue_get_main(handle.pointer)
    }
    _ = rd_kafka_set_log_queue(handle.pointer, queue)
    var descriptors: [Int32] = [-1, -1]
    guard Glibc.pipe(&descriptors) == 0 else {
      throw KafkaError(RD_KAFKA_RESP_ERR__FAIL, "creating a pipe", brokers: brokers)
    }
    for descriptor in descriptors {
      _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }
    pipe = (descriptors[0], descriptors[1])
    rd_kafka_queue_io_event_enable(queue, pipe.writing, "!", 1)
    do {
      watch = try reactor.watch(pipe.reading, for: .readable, label: "kafka") { [reading = pipe.reading] _ in
        var bytes = [UInt8](repeating: 0, count: 1_024)
        while read(reading, &bytes, bytes.count) == bytes.count {}
        onEvents()
      }
    } catch {
      throw KafkaError(RD_KAFKA_RESP_ERR__FAIL, "watching a pipe", brokers: brokers, reason: "\(error)")
    }
    // librdkafka writes to the pipe only if its queue was empty. An event from before the pipe existed, such as a
    // refused connection, would keep it silent permanently. This first wake-up takes such events.
    _ = write(pipe.writing, "!", 1)
  }

  private static func makeHandle(
    _ type: rd_kafka_type_t, _ options: KafkaOptions, _ settings: [(String, String)], _ events: Int32
  ) throws(KafkaError) -> Handle {
    let configuration = rd_kafka_conf_new()
    var message = [CChar](repeating: 0, count: 512)
    let common = [
      ("bootstrap.servers", options.brokers), ("client.id", options.clientID), ("log.queue", "true"),
      ("reconnect.backoff.ms", "50"), ("reconnect.backoff.max.ms", "2000"),
      ("socket.keepalive.enable", "true"), ("topic.metadata.refresh.interval.ms", "30000"),
    ]
    let own = options.settings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    for (name, value) in common + settings + own {
      let status = rd_kafka_conf_set(configuration, name, value, &message, message.count)
      guard status == RD_KAFKA_CONF_OK else {
        rd_kafka_conf_destroy(configuration)
        throw KafkaError(
          RD_KAFKA_RESP_ERR__INVALID_ARG, "setting \(name)", brokers: options.brokers, reason: text(message))
      }
    }
    rd_kafka_conf_set_events(configuration, events | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG)
    guard let pointer = rd_kafka_new(type, configuration, &message, message.count) else {
      rd_kafka_conf_destroy(configuration)
      throw KafkaError(
        RD_KAFKA_RESP_ERR__INVALID_ARG, "creating a client", brokers: options.brokers, reason: text(message))
    }
    return Handle(pointer: pointer)
  }

  private static func text(_ message: [CChar]) -> String {
    String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Takes the next event. Log lines and errors are handled here; `take` gets all other events, and must not keep them.
  ///
  /// - Parameter takeError: True for an error that is the caller's own matter.
  /// - Returns: False if the queue is empty.
  func nextEvent(
    takeError: (OpaquePointer, rd_kafka_resp_err_t) -> Bool = { _, _ in false }, _ take: (OpaquePointer, Int32) -> Void
  ) -> Bool {
    guard let event = rd_kafka_queue_poll(queue, 0) else { return false }
    defer { rd_kafka_event_destroy(event) }
    switch rd_kafka_event_type(event) {
    case RD_KAFKA_EVENT_LOG: log(event)
    case RD_KAFKA_EVENT_ERROR:
      let code = rd_kafka_event_error(event)
      if takeError(event, code) { break }
      logger.warning(
        "Kafka reported an error",
        metadata: [
          .host: brokers, .error: String(cString: rd_kafka_event_error_string(event)), "code": "\(code.rawValue)",
        ])
    case let type: take(event, type)
    }
    return true
  }

  private func log(_ event: OpaquePointer) {
    var facility: UnsafePointer<CChar>?
    var message: UnsafePointer<CChar>?
    var level: Int32 = 0
    guard rd_kafka_event_log(event, &facility, &message, &level) == 0, let message else { return }
    // syslog's levels: up to 4 is a warning or worse.
    // A setting of ours that librdkafka calls experimental, at each start.
    let isKnown = String(cString: message).contains("is experimental")
    logger.log(
      level <= 4 && !isKnown ? .warning : .debug, "Log of librdkafka",
      ["text": String(cString: message), .host: brokers])
  }

  /// The fatal error that ended the client, or nil.
  var fatalError: KafkaError? {
    var message = [CChar](repeating: 0, count: 512)
    let code = rd_kafka_fatal_error(handle.pointer, &message, message.count)
    guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
    return KafkaError(
      name: String(cString: rd_kafka_err2name(code)), operation: "running the client", brokers: brokers,
      reason: Self.text(message), kind: .fatal)
  }

  /// Ends the watch and leaves the handle as it is: its threads and its memory stay until the process ends.
  func abandon() {
    watch?.cancel()
    watch = nil
    rd_kafka_queue_io_event_enable(queue, -1, nil, 0)
    rd_kafka_queue_destroy(queue)
    Glibc.close(pipe.reading)
    Glibc.close(pipe.writing)
  }

  /// Ends the watch and releases the queue, on the loop. Then destroys the handle on another thread, which may take a
  /// while, and closes the pipe.
  func close() async {
    guard let watch else { return }
    watch.cancel()
    self.watch = nil
    rd_kafka_queue_io_event_enable(queue, -1, nil, 0)
    rd_kafka_queue_destroy(queue)
    let handle = handle
    await Reactor.offLoop(.remote) { rd_kafka_destroy(handle.pointer) }
    Glibc.close(pipe.reading)
    Glibc.close(pipe.writing)
  }
}
