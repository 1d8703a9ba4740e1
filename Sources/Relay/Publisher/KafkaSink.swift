import JSON
import Kafka
import Logging
import Postgres
import Reactor

/// Sends batches to Kafka in order, holds back while too much waits there, and reports what was acknowledged.
final class KafkaSink: MessageSink {
  private let options: KafkaOptions
  private let partitions: Int
  private let producer: KafkaProducer
  private let room: Doorbell
  private let logger: Logger
  /// How large a record batch each topic takes, or why it takes none.
  private var limits: [String: Result<Int, KafkaError>] = [:]

  /// With transactions: the topic that says how far the source has been published, in the same transactions.
  private let positions: String?

  /// The cluster of Postgres whose positions are kept.
  private let cluster: String

  /// - Parameters:
  ///   - transactionalID: nil: at least once, without transactions.
  ///   - cluster: Whose positions are kept: its identifier and its timeline.
  init(
    _ options: KafkaOptions, transactionalID: String?, cluster: String, partitions: Int, compression: String,
    maximumBytes: Int,
    on reactor: Reactor, logger: Logger, onReports: @escaping (DeliveryReports) -> Void
  ) throws(KafkaError) {
    (self.options, self.partitions, self.logger) = (options, partitions, logger)
    self.cluster = cluster
    positions = transactionalID.map { "annals.positions.\($0)" }
    let room = Doorbell(on: reactor)
    self.room = room
    producer = try KafkaProducer(
      options, transactionalID: transactionalID, compression: compression, maximumBytes: maximumBytes, on: reactor,
      logger: logger,
      onDelivery: { reports in
        onReports(reports)
        if room.isAwaited { room.ring() }
      })
  }

  func refusals(_ batch: MessageBatch) async throws -> [Int: String] {
    var refusals: [Int: String] = [:]
    for (number, topic) in batch.topics.enumerated() {
      switch try await limit(of: topic) {
      case .success(let limit):
        // One message cannot be longer than all of them together.
        guard batch.byteCount + 1_000 > limit else { continue }
        for (index, message) in batch.messages.enumerated() where message.topic == number {
          let bytes = batch.recordBytes(message)
          if bytes > limit {
            refusals[index] = "\(bytes) bytes; topic \(topic) takes \(limit) (max.message.bytes)"
          }
        }
      case .failure(let error):
        for (index, message) in batch.messages.enumerated() where message.topic == number {
          refusals[index] = "\(error)"
        }
      }
    }
    return refusals
  }

  private func limit(of topic: String) async throws -> Result<Int, KafkaError> {
    if let known = limits[topic] { return known }
    let limit: Result<Int, KafkaError>
    do {
      try await createTopic(topic)
      let setting = try await KafkaAdmin(options).setting("max.message.bytes", of: topic)
      limit = .success(min(setting.flatMap { Int($0) } ?? .max, KafkaProducer.maximumMessage))
    } catch {
      guard error.kind == .refused else { throw error }
      limit = .failure(error)
    }
    limits[topic] = limit
    return limit
  }

  func forgetLimits() { limits = [:] }

  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws {
    var topics: [KafkaTopic] = []
    for topic in batch.topics { topics.append(try producer.topic(topic)) }
    var next = 0
    while true {
      next = try send(batch, from: next, to: topics)
      if next == batch.messages.count { return }
      // There is no room: acknowledgements make some.
      if let fatal = producer.fatalError { throw fatal }
      if await room.wait(timeout: .milliseconds(500)) == .cancelled { throw CancellationError() }
      try await whileWaiting()
    }
  }

  /// Sends messages as long as there is room, and tells which one comes next.
  private func send(_ batch: MessageBatch, from first: Int, to topics: [KafkaTopic]) throws(KafkaError) -> Int {
    let result = batch.withBytes { bytes in
      Result { () throws(KafkaError) in
        func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
        var headers: [(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?)] = []
        for index in first..<batch.messages.count {
          let message = batch.messages[index]
          headers.removeAll(keepingCapacity: true)
          for number in message.headers {
            let header = batch.headers[number]
            headers.append((part(header.name), header.value.map(part)))
          }
          do throws(KafkaError) {
            try producer.send(
              to: topics[message.topic], partition: message.partition, timestamp: message.timestamp,
              key: message.key.map(part), value: message.value.map(part),
              headers: headers, token: message.transaction + 1)
          } catch {
            if error.kind == .full { return index }
            throw error
          }
        }
        return batch.messages.count
      }
    }
    return try result.get()
  }

  // MARK: Exactly once

  /// Fences off an older self, and finds out how far it came; nil where it never came to anything.
  func beginTransactions() async throws -> PublishedPosition? {
    guard let positions else { return nil }
    let admin = KafkaAdmin(options)
    try await admin.createTopic(positions, partitions: 1, settings: ["cleanup.policy": "compact"])
    // Before the position is read: what an older self left open ends here, one way or the other.
    try await producer.initializeTransactions()
    guard let value = try await admin.lastValue(of: positions) else { return nil }
    let json = try JSONValue(parsing: value)
    guard let position = PublishedPosition(json) else { throw UnknownPosition(topic: positions) }
    if let known = json["cluster"]?.string, known != cluster {
      logger.error(
        "Kafka's position is of another cluster or timeline: what the database says counts, some events may come twice",
        metadata: ["topic": positions, "known": known, "present": cluster])
      return nil
    }
    return position
  }

  /// The topic of positions holds something else.
  struct UnknownPosition: Error, CustomStringConvertible {
    let topic: String
    var description: String {
      "the last message of topic \(topic) is no position of a relay: is something else writing there?"
    }
  }

  var isTransactional: Bool { positions != nil }
  var isInTransaction: Bool { producer.isInTransaction }

  func beginTransaction() throws(KafkaError) { try producer.beginTransaction() }

  /// Makes all that was sent visible as a whole, together with how far that goes.
  func commitTransaction(_ position: PublishedPosition) async throws {
    guard let positions, producer.isInTransaction else { return }
    var writer = JSONWriter(reserving: 64)
    position.write(cluster: cluster, into: &writer)
    try writer.bytes.withUnsafeBytes { value in
      try Array("position".utf8).withUnsafeBytes { key in
        try producer.send(topic: positions, key: key, value: value, token: 0)
      }
    }
    try await producer.commitTransaction()
  }

  func waitForReports() async throws(CancellationError) {
    if await room.wait(timeout: .milliseconds(500)) == .cancelled { throw CancellationError() }
  }

  private func createTopic(_ topic: String) async throws(KafkaError) {
    if try await KafkaAdmin(options).createTopic(topic, partitions: partitions) {
      logger.notice("Topic created", metadata: ["topic": topic, "partitions": "\(partitions)"])
    }
  }

  var inFlight: Int { producer.waiting }
  var fatalError: KafkaError? { producer.fatalError }

  func close() async {
    await producer.close()
    room.close()
  }
}
