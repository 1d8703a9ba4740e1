import Kafka
import Logging
import Metrics
package import Postgres

/// Sends messages to the sink, parks those that cannot be delivered (G7), and tracks acknowledgements.
package final class Delivery {
  let sink: any MessageSink
  let acknowledgements: Acknowledgements
  let lot: ParkingLot?
  let logger: Logger
  let metrics: RelayMetrics
  /// Exactly once: the transactional sink; nil: at least once.
  let transactions: KafkaSink?
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

  package var tracker: ConfirmationTracker {
    get { acknowledgements.tracker }
    _modify { yield &acknowledgements.tracker }
  }

  /// Counts the messages of one source position: rows that were inserted together share one LSN.
  private var lastSource: (source: MessageSource, count: Int) = (.event(0), 0)

  /// Exactly once: messages to be parked with the Kafka transaction, whose abort would bring them and what precedes them again.
  var toPark: [(batch: MessageBatch, reason: String?)] = []

  /// Transactions without confirmation: about 50 MB.
  static let maximumUnconfirmed = 1_000_000

  var parksKeys: Bool { lot?.keys.isEmpty == false }

  /// Counts the messages that `body` adds as sent: their transaction is confirmed only after all are acknowledged.
  ///
  /// - Parameter source: What they come from.
  package func counting(
    _ number: Int, from source: MessageSource, _ batch: inout MessageBatch, _ body: (inout MessageBatch) throws -> Void
  ) rethrows {
    if source != lastSource.source { lastSource = (source, 0) }
    batch.begin(source, after: lastSource.count)
    let count = batch.messages.count
    try body(&batch)
    let added = batch.messages.count - count
    lastSource.count += added
    tracker.sent(number, count: added)
  }

  /// Sends a batch. A message that cannot be delivered is parked instead, and so is every later message of its key.
  ///
  /// - Parameter whileWaiting: Called repeatedly while the sink has no room.
  package func deliver(_ batch: MessageBatch, whileWaiting: () async throws -> Void = {}) async throws {
    if batch.isEmpty { return }
    // Nothing may follow a message that was refused.
    try check()
    // A partition that stands still must not fill the memory with what the others have acknowledged.
    while tracker.unconfirmed > Self.maximumUnconfirmed, sink.inFlight > 0 {
      try await whileWaiting()
      try await sink.waitForReports()
      try check()
    }
    metrics.batchSize.record(batch.messages.count)
    acknowledgements.follow(batch.traces)
    try beginTransactionIfNeeded()
    let doubts = try await sink.doubts(batch)
    let findings = acknowledgements
    guard !doubts.isEmpty || !findings.refused.isEmpty || !findings.suspects.isEmpty || parksKeys else {
      return try await send(batch, whileWaiting: whileWaiting)
    }
    var kept: [Int] = []
    func sendKept() async throws {
      guard !kept.isEmpty else { return }
      try await send(batch.keeping(kept), whileWaiting: whileWaiting)
      kept = []
    }
    for (index, message) in batch.messages.enumerated() {
      let key = batch.key(of: message)
      if let reason = findings.refused[batch.identity(of: message)] {
        // Its predecessors go first: what is parked is not sent again by itself.
        try await sendKept()
        try await park(message, of: batch, key, reason: reason)
      } else if lot?.contains(key) == true {
        if try await !wait(message, of: batch, key) { kept.append(index) }
      } else if let doubt = doubts[index], doubt.isCertain {
        try await sendKept()
        try await park(message, of: batch, key, reason: doubt.reason)
      } else if doubts[index] != nil || findings.suspects[key] != nil {
        try await sendKept()
        try await sendAlone(batch.keeping([index]), doubt: doubts[index]?.reason, whileWaiting: whileWaiting)
        findings.examined(key)
      } else {
        kept.append(index)
      }
    }
    try await sendKept()
    metrics.parkedKeys.set(lot?.keys.count ?? 0)
  }

  /// Sends messages together. One that the client does not take is parked, and so are those of its key behind it.
  private func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws {
    do { try await sink.send(batch, whileWaiting: whileWaiting) } catch let refusal as MessageRefused {
      let message = batch.messages[refusal.index]
      guard transactions == nil else {
        acknowledgements.refused[batch.identity(of: message)] = refusal.reason
        throw refusal
      }
      try await park(message, of: batch, batch.key(of: message), reason: refusal.reason)
      try await deliver(
        batch.keeping(Array(batch.messages.indices.dropFirst(refusal.index + 1))), whileWaiting: whileWaiting)
    }
  }

  /// Sends one message with nothing before or beside it, so that what Kafka says is about this message. One that it refuses is
  /// parked; in a Kafka transaction, which a refusal spoils, by the next attempt.
  private func sendAlone(_ batch: MessageBatch, doubt: String?, whileWaiting: () async throws -> Void) async throws {
    guard let message = batch.messages.first else { return }
    try await settle(whileWaiting: whileWaiting)
    func reason(_ refusal: String) -> String { doubt.map { "\($0): \(refusal)" } ?? refusal }
    if transactions == nil {
      if let refusal = try await sink.probe(batch, whileWaiting: whileWaiting) {
        try await park(message, of: batch, batch.key(of: message), reason: reason(refusal))
      } else {
        acknowledgements.settled(message.transaction, isDelivered: true)
      }
      return
    }
    do {
      try await sink.send(batch, whileWaiting: whileWaiting)
      try await settle(whileWaiting: whileWaiting)
    } catch {
      if let refusal = (error as? MessageRefused)?.reason
        ?? acknowledgements.failure.flatMap({ $0.kind == .refused ? "\($0)" : nil })
      {
        acknowledgements.refused[batch.identity(of: message)] = reason(refusal)
      }
      throw error
    }
  }

  /// Waits until the sink has nothing in flight.
  private func settle(whileWaiting: () async throws -> Void) async throws {
    while sink.inFlight > 0 {
      try check()
      try await whileWaiting()
      try await sink.waitForReports()
    }
    try check()
  }

  /// Throws if a message could not be delivered.
  func check() throws {
    if let failure = acknowledgements.failure { throw failure }
    if let fatal = sink.fatalError { throw fatal }
  }

  /// Says loudly what the operator must know about the topics.
  func examine() async throws {
    // While Kafka does not answer, nothing may wait for it here.
    guard acknowledgements.problem == nil else { return }
    for change in try await sink.examine() {
      metrics.partitionChanges.increment()
      logger.error(
        "A topic has other partitions than before: keys have moved, and a reader may see a later message of a key before an earlier one",
        metadata: ["topic": change.topic, "before": "\(change.before)", "after": "\(change.after)"])
    }
  }

  /// Waits until every sent message is acknowledged. Their transaction may still be open.
  package func arrive(whileWaiting: () async throws -> Void = {}) async throws {
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

  func close() async {
    lot?.close()
    await sink.close()
  }

  // MARK: Exactly once

  /// `published` as an LSN; nil if nothing was published or the source is not the WAL.
  package var publishedLSN: LogSequenceNumber? { if case .wal(let lsn)? = published { lsn } else { nil } }

  /// The confirmed LSN at the start of the current Kafka transaction.
  private var beforeTransaction = LogSequenceNumber.zero

  /// The LSN that may be confirmed to Postgres. Excludes an open Kafka transaction.
  var confirmed: LogSequenceNumber {
    transactions?.isInTransaction == true ? beforeTransaction : tracker.confirmed
  }

  func beginTransactionIfNeeded() throws {
    guard let transactions, !transactions.isInTransaction else { return }
    beforeTransaction = tracker.confirmed
    try transactions.beginTransaction()
  }

  /// Fences a previous instance and reads the position that it committed last.
  func beginTransactions() async throws {
    guard let last = try await transactions?.beginTransactions() else { return }
    published = last.position
    reached = last.position
    // Sent in the transaction of that position; the database may not know yet.
    if let parked = last.parked { try await lot?.delivered(parked) }
  }

  /// Commits the Kafka transaction: its messages and the source position `reached` become visible atomically.
  ///
  /// - Parameters:
  ///   - isNeeded: Commit the position even if no message was sent.
  ///   - parked: The parked message that is sent in this transaction.
  func commit(isNeeded: Bool = false, parked: Int64? = nil) async throws {
    guard let transactions, isNeeded || transactions.isInTransaction else { return }
    try beginTransactionIfNeeded()
    try await storeParked()
    try await transactions.commitTransaction(reached, parked: parked)
    published = reached
    try check()
  }
}
