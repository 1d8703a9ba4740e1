import Identifiers
import JSON
import Kafka
import Logging
import Reactor

/// Sends batches to Kafka in order, holds back while too much waits there, and reports what was acknowledged.
final class Publisher {
  private let options: KafkaOptions
  private let partitions: Int
  private let producer: KafkaProducer
  private let room: Doorbell
  private let logger: Logger
  private var knownTopics: Set<String> = []

  init(
    _ options: KafkaOptions, partitions: Int, compression: String, maximumBytes: Int, on reactor: Reactor,
    logger: Logger, onReports: @escaping ([DeliveryReport]) -> Void
  ) throws(KafkaError) {
    (self.options, self.partitions, self.logger) = (options, partitions, logger)
    let room = Doorbell(on: reactor)
    self.room = room
    producer = try KafkaProducer(
      options, compression: compression, maximumBytes: maximumBytes, on: reactor, logger: logger,
      onDelivery: { reports in
        onReports(reports)
        if room.isAwaited { room.ring() }
      })
  }

  /// Hands every message of the batch to the producer, in order, waiting for room as long as it takes.
  func send(_ batch: MessageBatch) async throws {
    for message in batch.messages {
      if !knownTopics.contains(message.topic) { try await createTopic(message.topic) }
      while !(try send(message, of: batch)) {
        if let fatal = producer.fatalError { throw fatal }
        if await room.wait(timeout: .milliseconds(500)) == .cancelled { throw CancellationError() }
      }
    }
  }

  /// False where there is no room.
  private func send(_ message: MessageBatch.Message, of batch: MessageBatch) throws(KafkaError) -> Bool {
    var headers: [(name: StaticString, value: [UInt8])] = [
      ("event_id", Array(message.eventID.description.utf8)), ("event_type", batch.bytes(message.type)),
      ("stream_version", Array("\(message.version)".utf8)),
    ]
    if let range = message.headers, let text = Self.traceparent(batch.bytes(range)) {
      headers.append(("traceparent", Array(text.utf8)))
    }
    do throws(KafkaError) {
      let result = batch.withBytes(message.key) { key in
        Result { () throws(KafkaError) in
          guard let range = message.value else {
            return try producer.send(
              topic: message.topic, key: key, value: nil, headers: headers, token: message.transaction + 1)
          }
          try batch.withBytes(range) { value in
            Result { () throws(KafkaError) in
              try producer.send(
                topic: message.topic, key: key, value: value, headers: headers, token: message.transaction + 1)
            }
          }.get()
        }
      }
      try result.get()
      return true
    } catch {
      if error.kind == .full { return false }
      throw error
    }
  }

  /// Waits for delivery reports, half a second at most.
  func waitForReports() async throws(CancellationError) {
    if await room.wait(timeout: .milliseconds(500)) == .cancelled { throw CancellationError() }
  }

  private static func traceparent(_ headers: [UInt8]) -> String? {
    do { return try JSONValue(parsing: headers)["traceparent"]?.string } catch { return nil }
  }

  private func createTopic(_ topic: String) async throws(KafkaError) {
    if try await KafkaAdmin(options).createTopic(topic, partitions: partitions) {
      logger.notice("Topic created", metadata: ["topic": topic, "partitions": "\(partitions)"])
    }
    knownTopics.insert(topic)
  }

  var fatalError: KafkaError? { producer.fatalError }

  func close() async {
    await producer.close()
    room.close()
  }
}
