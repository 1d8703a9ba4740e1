import Kafka
import Logging
import Metrics
import Postgres

/// Sends messages to the sink, parks those that cannot be delivered (G7), and tracks acknowledgements.
final class Delivery {
  let sink: any MessageSink
  let acknowledgements: Acknowledgements
  let lot: ParkingLot?
  private let logger: Logger
  private let metrics: RelayMetrics
  /// Exactly once: the transactional sink; nil: at least once.
  private let transactions: KafkaSink?
  /// Exactly once: the published source position, as committed in Kafka.
  private(set) var published: PublishedPosition?
  /// The source position up to which every transaction has been handed over completely.
  var reached = PublishedPosition.wal(.zero)

  init(
    to sink: any MessageSink, _ acknowledgements: Acknowledgements, parking lot: ParkingLot?, logger: Logger,
    metrics: RelayMetrics
  ) {
    (self.sink, self.acknowledgements, self.lot) = (sink, acknowledgements, lot)
    (self.logger, self.metrics) = (logger, metrics)
    transactions = (sink as? KafkaSink).flatMap { $0.isTransactional ? $0 : nil }
    metrics.parkedKeys.set(lot?.keys.count ?? 0)
  }

  var tracker: ConfirmationTracker {
    get { acknowledgements.tracker }
    _modify { yield &acknowledgements.tracker }
  }

  /// Counts the messages of one source position: rows that were inserted together share one LSN.
  private var lastSource: (place: UInt64, count: Int) = (0, 0)

  var parksKeys: Bool { lot?.keys.isEmpty == false }

  /// Counts the messages that `body` adds as sent: their transaction is confirmed only after all are acknowledged.
  ///
  /// - Parameters:
  ///   - source: What they come from. It is the same each time they are encoded again.
  ///   - place: The order of the source among others; nil: the source's own number.
  func counting(
    _ number: Int, at source: UInt64, place: UInt64? = nil, _ batch: inout MessageBatch,
    _ body: (inout MessageBatch) throws -> Void
  ) rethrows {
    if source != lastSource.place { lastSource = (source, 0) }
    batch.begin(source: source, at: place, after: lastSource.count)
    let count = batch.messages.count
    try body(&batch)
    let added = batch.messages.count - count
    lastSource.count += added
    tracker.sent(number, count: added)
  }

  /// Sends a batch. A message that cannot be delivered is parked instead, and so is every later message of its key.
  ///
  /// - Parameter whileWaiting: Called repeatedly while the sink has no room.
  func deliver(_ batch: MessageBatch, whileWaiting: () async throws -> Void = {}) async throws {
    if batch.isEmpty { return }
    metrics.batchSize.record(batch.messages.count)
    try beginTransactionIfNeeded()
    let refusals = try await sink.refusals(batch)
    guard !refusals.isEmpty || !acknowledgements.refused.isEmpty || parksKeys else {
      return try await sink.send(batch, whileWaiting: whileWaiting)
    }
    var kept: [Int] = []
    for (index, message) in batch.messages.enumerated() {
      let key = ParkingLot.Key(topic: batch.topics[message.topic], key: message.key.map(batch.bytes))
      let reason = refusals[index] ?? acknowledgements.refused[key]
      let waits = lot?.contains(key) == true
      guard reason != nil || waits else {
        kept.append(index)
        continue
      }
      guard let lot else { throw UndeliverableMessage(topic: key.topic, reason: reason ?? "") }
      if !waits {
        logger.error(
          "Key parked", metadata: ["topic": key.topic, "key": message.key.map(batch.text) ?? "", .error: reason ?? ""])
      }
      guard try await lot.park(message, of: batch, key, reason: reason) else {
        kept.append(index)
        continue
      }
      // The parked message is stored in the database: its transaction need not wait for Kafka.
      tracker.acknowledged(message.transaction)
      metrics.parked.increment()
    }
    metrics.parkedKeys.set(lot?.keys.count ?? 0)
    acknowledgements.refused = acknowledgements.refused.filter { lot?.contains($0.key) != true }
    var rest = batch
    rest.keep(kept)
    try await sink.send(rest, whileWaiting: whileWaiting)
  }

  /// Throws if a message could not be delivered.
  func check() throws {
    if let failure = acknowledgements.failure { throw failure }
    if let fatal = sink.fatalError { throw fatal }
  }

  /// Waits until every sent message is acknowledged. Their transaction may still be open.
  func arrive(whileWaiting: () async throws -> Void = {}) async throws {
    while tracker.inFlight > 0 {
      try check()
      try await whileWaiting()
      try await sink.waitForReports()
    }
    try check()
  }

  /// Waits up to 5 seconds for messages in flight, so that the next start need not send them again.
  ///
  /// - Returns: False if a Kafka transaction is open: it will be aborted, so its messages do not count.
  func drain() async throws -> Bool {
    if transactions?.isInTransaction == true { return false }
    let deadline = ContinuousClock.now + .seconds(5)
    while sink.inFlight > 0, .now < deadline, acknowledgements.failure == nil { try await sink.waitForReports() }
    return true
  }

  /// Carries out the operator's requests: sends a key's parked messages in order, before any newer message.
  ///
  /// - Parameter whileWaiting: Called at least about twice a second.
  func review(whileWaiting: () async throws -> Void = {}) async throws {
    guard let lot, !lot.keys.isEmpty else { return }
    let requested = try await lot.review()
    if !requested.isEmpty { sink.forgetLimits() }
    keys: for key in requested {
      while true {
        let number = tracker.begin()
        let messages = try await lot.messages(of: key, transaction: number)
        for message in messages {
          if let reason = try await sink.refusals(message.batch)[0] {
            try await lot.refused(message.id, reason: reason)
            logger.error(
              "Parked message refused again; its key stays parked", metadata: ["topic": key.topic, .error: reason])
            tracker.committed(number, end: tracker.confirmed)
            continue keys
          }
          tracker.sent(number)
          try beginTransactionIfNeeded()
          try await sink.send(message.batch, whileWaiting: whileWaiting)
          do { try await arrive(whileWaiting: whileWaiting) } catch {
            if let failure = acknowledgements.failure { try await lot.refused(message.id, reason: "\(failure)") }
            throw error
          }
          try await commit()
          try await lot.delivered(message.id)
        }
        tracker.committed(number, end: tracker.confirmed)
        if messages.isEmpty { break }
      }
      logger.notice("Parked key delivered", metadata: ["topic": key.topic])
    }
    _ = try await lot.review()
    metrics.parkedKeys.set(lot.keys.count)
  }

  func close() async {
    lot?.close()
    await sink.close()
  }

  // MARK: Exactly once

  /// `published` as an LSN; nil if nothing was published or the source is not the WAL.
  var publishedLSN: LogSequenceNumber? { if case .wal(let lsn)? = published { lsn } else { nil } }

  /// The confirmed LSN at the start of the current Kafka transaction.
  private var beforeTransaction = LogSequenceNumber.zero

  /// The LSN that may be confirmed to Postgres. Excludes an open Kafka transaction.
  var confirmed: LogSequenceNumber {
    transactions?.isInTransaction == true ? beforeTransaction : tracker.confirmed
  }

  private func beginTransactionIfNeeded() throws {
    guard let transactions, !transactions.isInTransaction else { return }
    beforeTransaction = tracker.confirmed
    try transactions.beginTransaction()
  }

  /// Fences a previous instance and reads the position that it committed last.
  func beginTransactions() async throws {
    published = try await transactions?.beginTransactions()
    if let published { reached = published }
  }

  /// Commits the Kafka transaction: its messages and the source position `reached` become visible atomically.
  ///
  /// - Parameter isNeeded: Commit the position even if no message was sent.
  func commit(isNeeded: Bool = false) async throws {
    guard let transactions, isNeeded || transactions.isInTransaction else { return }
    try beginTransactionIfNeeded()
    try await transactions.commitTransaction(reached)
    published = reached
    try check()
  }
}

/// Delivery results of messages in flight. The sink's report closure retains only this object.
final class Acknowledgements {
  var tracker = ConfirmationTracker()
  /// Keys with a message in flight that Kafka refused, and the reason. The next attempt parks them.
  var refused: [ParkingLot.Key: String]
  private(set) var failure: KafkaError?
  /// Time of the last acknowledgement, or of the last check with no message in flight.
  private(set) var latest = ContinuousClock.now
  private let metrics: RelayMetrics

  init(refused: [ParkingLot.Key: String], metrics: RelayMetrics) { (self.refused, self.metrics) = (refused, metrics) }

  func take(_ reports: DeliveryReports) {
    if !reports.delivered.isEmpty { latest = .now }
    // Tokens are transactions, counted from 1: librdkafka's opaque pointer cannot be null.
    for token in reports.delivered { tracker.acknowledged(token - 1) }
    metrics.delivered.increment(by: reports.delivered.count)
    for report in reports.failed {
      failure = failure ?? report.error
      // The next attempt receives the message again and parks it.
      if report.error.kind == .refused, let topic = report.topic {
        refused[ParkingLot.Key(topic: topic, key: report.key)] = "\(report.error)"
      }
    }
  }

  func measure() {
    metrics.inFlight.set(tracker.inFlight)
    if tracker.inFlight == 0 { latest = .now }
  }

  /// Problem report if messages are in flight and Kafka has acknowledged none of them for over 10 seconds.
  var problem: String? {
    let silence = ContinuousClock.now - latest
    guard tracker.inFlight > 0, silence > .seconds(10) else { return nil }
    return
      "Kafka has acknowledged nothing for \(silence.components.seconds) s; \(tracker.inFlight) messages are in flight"
  }
}

/// Kafka permanently refuses a message, and the database has no table to park it in.
struct UndeliverableMessage: Error, CustomStringConvertible {
  let topic: String
  let reason: String
  var description: String {
    "a message for topic \(topic) cannot be delivered: \(reason). Fix the cause, or run annals migrate: "
      + "it creates annals.parked_messages, the table in which such messages are parked"
  }
}
