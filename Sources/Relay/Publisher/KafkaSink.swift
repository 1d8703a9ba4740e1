import JSON
import Kafka
import Logging
import Postgres
import Reactor

/// Sends batches to Kafka in order, waits while the producer's queue is full, and reports acknowledgements.
final class KafkaSink: MessageSink {
  private let options: KafkaOptions
  private let admin: KafkaAdmin
  private let creation: TopicCreation
  private let producer: KafkaProducer
  private let room: Doorbell
  private let logger: Logger
  /// Maximum size of a record batch for each topic, or the error because of which the topic accepts none.
  private var limits: [String: Result<Int, KafkaError>] = [:]

  /// With transactions: the topic of the published source position, written in the same transactions.
  private let positions: String?

  /// The Postgres cluster that the positions belong to.
  private let cluster: String

  private let compression: String
  private let maximumBytes: Int
  private let batchBytes: Int
  private let reactor: Reactor

  /// - Parameters:
  ///   - transactionalID: nil: at least once, without transactions.
  ///   - batchBytes: Maximum size of a batch of several messages.
  ///   - cluster: The Postgres cluster that the positions belong to: identifier, timeline and the log's epoch.
  init(
    _ options: KafkaOptions, transactionalID: String?, cluster: String, creation: TopicCreation, compression: String,
    maximumBytes: Int, batchBytes: Int,
    on reactor: Reactor, logger: Logger, onReports: @escaping (DeliveryReports) -> Void
  ) throws(KafkaError) {
    (self.creation, self.logger) = (creation, logger)
    self.cluster = cluster
    (self.compression, self.maximumBytes, self.reactor) = (compression, maximumBytes, reactor)
    positions = transactionalID.map { "annals.positions.\($0)" }
    let room = Doorbell(on: reactor)
    self.room = room
    // An operator's own size counts until a topic accepts less.
    var options = options
    var batchBytes = batchBytes
    if let own = options.settings.removeValue(forKey: "batch.size").flatMap({ Int($0) }) {
      batchBytes = batchBytes == KafkaProducer.defaultBatch ? own : min(own, batchBytes)
    }
    self.batchBytes = batchBytes
    self.options = options
    admin = KafkaAdmin(options)
    producer = try KafkaProducer(
      options, transactionalID: transactionalID, compression: compression, batchBytes: batchBytes,
      isGapless: transactionalID == nil, maximumBytes: maximumBytes, on: reactor, logger: logger,
      onDelivery: { reports in
        onReports(reports)
        if room.isAwaited { room.ring() }
      })
  }

  // MARK: What the relay before has sent

  /// When the first message came.
  private var began: ContinuousClock.Instant?
  private var settled: Set<String> = []

  /// How long after the first message of all a topic is looked at before its first one.
  private static let settling = Duration.seconds(5)
  /// Between two looks that must agree.
  private static let stillness = Duration.milliseconds(200)
  /// Others may write to the topic, too: it is not waited for them longer than this.
  private static let patience = Duration.seconds(3)

  /// Waits until nothing arrives any more that a relay before this one has sent: when it was killed, its last requests may still wait in
  /// a broker that is busy. An old message that came in behind a newer one would be the last of its key. (Transactions need no
  /// wait: the brokers refuse what is left of the producer before.)
  private func settle(_ topics: [String]) async throws {
    let began = began ?? .now
    self.began = began
    guard positions == nil, ContinuousClock.now - began < Self.settling else { return }
    let new = topics.filter { !settled.contains($0) }
    guard !new.isEmpty else { return }
    settled.formUnion(new)
    // A name that no topic can have is found later, and has no messages.
    guard var known = try await ends(of: new), !known.isEmpty else { return }
    let deadline = ContinuousClock.now + Self.patience
    while true {
      try await reactor.sleep(for: Self.stillness)
      let asked = ContinuousClock.now
      guard let present = try await ends(of: new) else { return }
      // A broker that takes long to answer may have more waiting.
      if present == known, ContinuousClock.now - asked < Self.stillness { return }
      known = present
      guard .now < deadline else {
        logger.info("Topics do not come to rest: others write to them", metadata: ["topics": "\(new)"])
        return
      }
    }
  }

  /// Where the topics end; nil: that may not be read, or there is no such topic.
  private func ends(of topics: [String]) async throws -> [TopicPartition: Int64]? {
    do { return try await admin.endOffsets(of: topics) } catch {
      guard error.kind != .refused, error.kind != .forbidden else { return nil }
      throw error
    }
  }

  func doubts(_ batch: MessageBatch) async throws -> [Int: Doubt] {
    try await settle(batch.topics)
    var doubts: [Int: Doubt] = [:]
    for (number, topic) in batch.topics.enumerated() {
      switch try await limit(of: topic) {
      case .success(let limit):
        // If all messages together fit, each of them does.
        guard batch.byteCount + 1_000 > limit else { continue }
        for (index, message) in batch.messages.enumerated() where message.topic == number {
          let bytes = batch.recordBytes(message)
          if bytes > limit {
            doubts[index] = Doubt(
              reason: "\(bytes) bytes before compression; topic \(topic) accepts \(limit) (max.message.bytes)",
              isCertain: false)
          }
        }
      case .failure(let error):
        for (index, message) in batch.messages.enumerated() where message.topic == number {
          doubts[index] = Doubt(reason: "\(error)", isCertain: true)
        }
      }
    }
    return doubts
  }

  private func limit(of topic: String) async throws -> Result<Int, KafkaError> {
    if let known = limits[topic] { return known }
    let limit: Result<Int, KafkaError>
    do {
      if let count = try await admin.partitions(of: topic) {
        partitions[topic] = partitions[topic] ?? count
      } else {
        try await createTopic(topic)
        partitions[topic] = creation.partitions
      }
      limit = .success(
        min(try await setting("max.message.bytes", of: topic) ?? .max, KafkaProducer.maximumMessage))
    } catch let error as KafkaError {
      // A name that no topic can have is the message's fault. A right that is missing is not: it stops the relay.
      guard error.kind == .refused else { throw error }
      limit = .failure(error)
    }
    limits[topic] = limit
    if case .success(let bytes) = limit, bytes < batchBytes { throw SmallerBatches(topic: topic, bytes: bytes) }
    return limit
  }

  /// A topic's setting as a number; nil if it may not be read, for which DESCRIBE_CONFIGS is needed.
  private func setting(_ name: String, of topic: String) async throws(KafkaError) -> Int? {
    var backoff = Backoff(first: .milliseconds(20), limit: .milliseconds(500))
    let deadline = ContinuousClock.now + Self.propagation
    while true {
      do throws(KafkaError) { return try await admin.setting(name, of: topic).flatMap { Int($0) } } catch {
        // It was found, or made, just now: not every broker knows of it yet.
        if error.name == "UNKNOWN_TOPIC_OR_PART", .now < deadline, !Task.isCancelled {
          try? await reactor.sleep(for: backoff.next())
          continue
        }
        guard error.kind == .forbidden else { throw error }
        logger.info("The topic's limit may not be read", metadata: ["topic": topic, .error: "\(error)"])
        return nil
      }
    }
  }

  /// How long it may take until all brokers know of a new topic.
  private static let propagation = Duration.seconds(10)

  /// A topic accepts less than this producer's batches have: it would refuse them as a whole. A new producer is needed.
  struct SmallerBatches: Error, CustomStringConvertible {
    let topic: String
    let bytes: Int
    var description: String { "topic \(topic) accepts batches of \(bytes) bytes only" }
  }

  func forgetLimits() { limits = [:] }

  /// The number of partitions of each topic, as it was seen last.
  private var partitions: [String: Int] = [:]
  private var examinedAt = ContinuousClock.now

  /// Once a minute: a topic with other partitions than before sends keys to other ones.
  func examine() async throws -> [PartitionChange] {
    guard ContinuousClock.now - examinedAt >= .seconds(60) else { return [] }
    examinedAt = .now
    let present: [String: Int]
    do { present = try await producer.partitions() } catch {
      // Delivery says what Kafka's absence means; this look can wait.
      logger.info("Partitions could not be looked at", metadata: [.error: "\(error)"])
      return []
    }
    defer { partitions.merge(present) { $1 } }
    return PartitionChange.between(partitions, present)
  }

  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws {
    try await send(batch, over: producer, whileWaiting: whileWaiting)
  }

  private func send(
    _ batch: MessageBatch, over producer: KafkaProducer, whileWaiting: () async throws -> Void
  ) async throws {
    var topics: [KafkaTopic] = []
    for topic in batch.topics { topics.append(try producer.topic(topic)) }
    var next = 0
    while true {
      next = try send(batch, from: next, to: topics, over: producer)
      if next == batch.messages.count { return }
      guard producer.waiting > 0 else {
        throw MessageRefused(
          index: next,
          reason: "larger than the memory for messages in flight, \(maximumBytes) bytes: raise relay.max-in-flight")
      }
      // The queue is full: acknowledgements make room.
      if let fatal = producer.fatalError { throw fatal }
      if await room.wait(timeout: .milliseconds(500)) == .cancelled { throw CancellationError() }
      try await whileWaiting()
    }
  }

  /// Sends messages while there is room, and returns the index of the next one to send.
  private func send(
    _ batch: MessageBatch, from first: Int, to topics: [KafkaTopic], over producer: KafkaProducer
  ) throws -> Int {
    let result = batch.withBytes { bytes in
      Result {
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
            if error.kind == .refused { throw MessageRefused(index: index, reason: "\(error)") }
            throw error
          }
        }
        return batch.messages.count
      }
    }
    return try result.get()
  }

  // MARK: One message alone

  /// A producer that outlives refusals, made when it is needed. The main one ends with the first, so that nothing overtakes.
  private var prober: KafkaProducer?
  private var probed: DeliveryReports?

  func probe(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws -> String? {
    let prober = try self.prober ?? makeProber()
    self.prober = prober
    probed = nil
    do { try await send(batch, over: prober, whileWaiting: whileWaiting) } catch let refusal as MessageRefused {
      return refusal.reason
    }
    while true {
      if let failure = probed?.failed.first?.error {
        guard failure.kind == .refused else { throw failure }
        return "\(failure)"
      }
      if probed?.delivered.isEmpty == false { return nil }
      if let fatal = prober.fatalError { throw fatal }
      try await whileWaiting()
      try await waitForReports()
    }
  }

  private func makeProber() throws(KafkaError) -> KafkaProducer {
    try KafkaProducer(
      options, compression: compression, linger: .zero, maximumBytes: maximumBytes, on: reactor, logger: logger,
      onDelivery: { [weak self] reports in
        self?.probed = reports
        self?.room.ring()
      })
  }

  // MARK: Exactly once

  /// Fences a previous instance and returns its last committed position; nil if it never committed one, or if the
  /// position belongs to another Postgres cluster, timeline or epoch of the log.
  func beginTransactions() async throws -> (position: PublishedPosition, parked: Int64?)? {
    guard let positions else { return nil }
    try await admin.createTopic(positions, partitions: 1, settings: ["cleanup.policy": "compact"])
    // Must precede reading the position: this ends a transaction that a previous instance left open.
    try await producer.initializeTransactions()
    guard let value = try await admin.lastValue(of: positions) else { return nil }
    let json = try JSONValue(parsing: value)
    guard let position = PublishedPosition(json) else { throw UnknownPosition(topic: positions) }
    if let known = json["cluster"]?.string, known != cluster {
      logger.error(
        "Ignoring the position in Kafka: it is of another Postgres cluster, timeline or epoch; events may be sent again",
        metadata: ["topic": positions, "known": known, "present": cluster])
      return nil
    }
    return (position, json["parked"]?.integer)
  }

  /// The positions topic holds a message that is not a position.
  struct UnknownPosition: Error, CustomStringConvertible {
    let topic: String
    var description: String {
      "the last message of topic \(topic) is not a relay's position: stop any other program that writes to it"
    }
  }

  var isTransactional: Bool { positions != nil }
  var isInTransaction: Bool { producer.isInTransaction }

  func beginTransaction() throws(KafkaError) { try producer.beginTransaction() }

  /// Commits the transaction: its messages and `position` become visible atomically.
  ///
  /// - Parameter parked: The parked message that it holds.
  func commitTransaction(_ position: PublishedPosition, parked: Int64?) async throws {
    guard let positions, producer.isInTransaction else { return }
    var writer = JSONWriter(reserving: 64)
    position.write(cluster: cluster, parked: parked, into: &writer)
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

  /// How topics are created that do not exist.
  struct TopicCreation {
    let isAllowed: Bool
    let partitions: Int
    let replication: Int?
  }

  struct TopicMissing: Error, CustomStringConvertible {
    let topic: String
    var description: String { "topic \(topic) does not exist, and topic.creation.enable=false: create it" }
  }

  private func createTopic(_ topic: String) async throws {
    guard creation.isAllowed else { throw TopicMissing(topic: topic) }
    if try await admin.createTopic(
      topic, partitions: creation.partitions, replication: creation.replication)
    {
      logger.notice("Topic created", metadata: ["topic": topic, "partitions": "\(creation.partitions)"])
    }
  }

  var inFlight: Int { producer.waiting }
  var fatalError: KafkaError? { producer.fatalError }

  func close() async {
    await prober?.close()
    await producer.close()
    room.close()
  }
}
