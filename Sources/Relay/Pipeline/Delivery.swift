import Kafka
import Logging
import Metrics
import Postgres

/// Brings messages to where they go, parks what cannot get there (G7), and knows what has arrived.
final class Delivery {
  let sink: any MessageSink
  let acknowledgements: Acknowledgements
  let lot: ParkingLot?
  private let logger: Logger
  private let metrics: RelayMetrics
  /// Exactly once: the sink, where it is transactional.
  private let transactions: KafkaSink?
  /// Exactly once: how far the source has been published, as Kafka has it.
  private(set) var published: PublishedPosition?
  /// How far the source has been handed over whole.
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

  /// Rows that were inserted together share one place in the WAL.
  private var lastSource: (place: UInt64, count: Int) = (0, 0)

  var parksKeys: Bool { lot?.keys.isEmpty == false }

  /// Counts the messages that `body` adds as sent: their transaction waits for them.
  ///
  /// - Parameter source: Where they come from: the same whenever they are made anew.
  func counting(
    _ number: Int, at source: UInt64, _ batch: inout MessageBatch, _ body: (inout MessageBatch) throws -> Void
  ) rethrows {
    if source != lastSource.place { lastSource = (source, 0) }
    batch.begin(source: source, after: lastSource.count)
    let count = batch.messages.count
    try body(&batch)
    let added = batch.messages.count - count
    lastSource.count += added
    tracker.sent(number, count: added)
  }

  /// Sends a batch; what cannot be delivered, and what comes behind it with the same key, is parked instead.
  ///
  /// - Parameter whileWaiting: Called now and then while there is no room.
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
      let waits = lot?.contains(key) == true ? "waits behind an earlier message of its key" : nil
      guard let reason = refusals[index] ?? acknowledgements.refused[key] ?? waits else {
        kept.append(index)
        continue
      }
      guard let lot else { throw UndeliverableMessage(topic: key.topic, reason: reason) }
      if !lot.contains(key) {
        logger.error(
          "A key is parked", metadata: ["topic": key.topic, "key": message.key.map(batch.text) ?? "", .error: reason])
      }
      try await lot.park(message, of: batch, key, reason: reason)
      // It is safe: its transaction need not wait for it.
      tracker.acknowledged(message.transaction)
      metrics.parked.increment()
    }
    metrics.parkedKeys.set(lot?.keys.count ?? 0)
    acknowledgements.refused = acknowledgements.refused.filter { lot?.contains($0.key) != true }
    var rest = batch
    rest.keep(kept)
    try await sink.send(rest, whileWaiting: whileWaiting)
  }

  /// Fails where a message did not arrive.
  func check() throws {
    if let failure = acknowledgements.failure { throw failure }
    if let fatal = sink.fatalError { throw fatal }
  }

  /// Waits until every message that was sent has arrived; its transaction may go on.
  func arrive(whileWaiting: () async throws -> Void = {}) async throws {
    while tracker.inFlight > 0 {
      try check()
      try await whileWaiting()
      try await sink.waitForReports()
    }
    try check()
  }

  /// Waits a while for what is on its way, so that the next start need not send it a second time.
  ///
  /// - Returns: False where what was sent counts for nothing: a transaction of Kafka's is open.
  func drain() async throws -> Bool {
    if transactions?.isInTransaction == true { return false }
    let deadline = ContinuousClock.now + .seconds(5)
    while sink.inFlight > 0, .now < deadline, acknowledgements.failure == nil { try await sink.waitForReports() }
    return true
  }

  /// Does what the operator has asked for: sends a key's messages in their order while nothing newer passes.
  func review() async throws {
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
            logger.error("A parked key is refused again", metadata: ["topic": key.topic, .error: reason])
            tracker.committed(number, end: tracker.confirmed)
            continue keys
          }
          tracker.sent(number)
          try beginTransactionIfNeeded()
          try await sink.send(message.batch, whileWaiting: {})
          do { try await arrive() } catch {
            if let failure = acknowledgements.failure { try await lot.refused(message.id, reason: "\(failure)") }
            throw error
          }
          try await commit()
          try await lot.delivered(message.id)
        }
        tracker.committed(number, end: tracker.confirmed)
        if messages.isEmpty { break }
      }
      logger.notice("A parked key is delivered", metadata: ["topic": key.topic])
    }
    _ = try await lot.review()
    metrics.parkedKeys.set(lot.keys.count)
  }

  func close() async {
    lot?.close()
    await sink.close()
  }

  // MARK: Exactly once

  /// The same where the source is the WAL.
  var publishedLSN: LogSequenceNumber? { if case .wal(let lsn)? = published { lsn } else { nil } }

  /// What was confirmed when the present transaction began.
  private var beforeTransaction = LogSequenceNumber.zero

  /// How far Postgres may be told that all is well: nothing of an open transaction is.
  var confirmed: LogSequenceNumber {
    transactions?.isInTransaction == true ? beforeTransaction : tracker.confirmed
  }

  private func beginTransactionIfNeeded() throws {
    guard let transactions, !transactions.isInTransaction else { return }
    beforeTransaction = tracker.confirmed
    try transactions.beginTransaction()
  }

  /// Fences off an older self and finds out how far it came.
  func beginTransactions() async throws {
    published = try await transactions?.beginTransactions()
    if let published { reached = published }
  }

  /// Makes what was sent visible as a whole, together with how far the source has been handed over.
  ///
  /// - Parameter isNeeded: Also where nothing was sent.
  func commit(isNeeded: Bool = false) async throws {
    guard let transactions, isNeeded || transactions.isInTransaction else { return }
    try beginTransactionIfNeeded()
    try await transactions.commitTransaction(reached)
    published = reached
    try check()
  }
}

/// What became of the messages on their way. Whoever reports it keeps this and nothing else.
final class Acknowledgements {
  var tracker = ConfirmationTracker()
  /// Keys of which Kafka refused a message that was on its way: they are parked when they come again.
  var refused: [ParkingLot.Key: String]
  private(set) var failure: KafkaError?
  /// When something was acknowledged last, or nothing waited.
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
      // It comes again with the next attempt, which parks it.
      if report.error.kind == .refused, let topic = report.topic {
        refused[ParkingLot.Key(topic: topic, key: report.key)] = "\(report.error)"
      }
    }
  }

  func measure() {
    metrics.inFlight.set(tracker.inFlight)
    if tracker.inFlight == 0 { latest = .now }
  }

  /// What waits for Kafka for so long that something must be wrong.
  var problem: String? {
    let silence = ContinuousClock.now - latest
    guard tracker.inFlight > 0, silence > .seconds(10) else { return nil }
    return
      "Kafka has acknowledged nothing for \(silence.components.seconds) s; \(tracker.inFlight) messages wait for it"
  }
}

/// A message that Kafka will never take, where there is no place to park it.
struct UndeliverableMessage: Error, CustomStringConvertible {
  let topic: String
  let reason: String
  var description: String {
    "a message for topic \(topic) cannot be delivered: \(reason). Mend that, or let annals migrate make the table that "
      + "such messages are parked in"
  }
}
