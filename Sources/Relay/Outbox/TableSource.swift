import Events
import Logging
import Metrics
import Postgres
import Reactor

/// Reads the outbox from the table. Writers wake it by notification; a timer backs this up.
final class TableSource: ChangeSource {
  private let reading: OutboxReading
  private let attempt: Attempt
  private let table: OutboxTable
  /// Parts of reads that are not recorded yet: number, end position, and the transaction id below which all rows were read.
  private var readings: [(number: Int, end: Position, complete: TransactionID)] = []

  private var isSlotLeft = false
  private var recordedAt = ContinuousClock.now - idleRecords

  /// How often a relay says that nothing has come: partitions of the outbox go by it.
  static let idleRecords = Duration.seconds(30)

  static let shortestNap = Duration.milliseconds(5)

  init(_ reading: OutboxReading, shard: Int, of shards: Int) {
    (self.reading, attempt) = (reading, reading.attempt)
    table = OutboxTable(relay: attempt.options.slot, shard: shard, of: shards, epoch: reading.epoch, attempt.session)
  }

  func run(_ onProgress: (Bool) -> Void) async throws {
    let (delivery, metrics) = (attempt.delivery, attempt.metrics)
    try await delivery.beginTransactions()
    let published = try await publishedFromWAL()
    if attempt.options.isLooking {
      try await table.look()
    } else {
      try await table.begin(at: TransactionID(published?.snapshot.xmin ?? 0))
      // A slot that cannot be dropped yet must not be taken for one that has everything.
      try await ReplicationSlot(name: attempt.options.slot, publication: attempt.options.publication)
        .recordUnready(attempt.session, source: "table")
      await dropSlot()
    }
    let bell = Doorbell(on: attempt.reactor)
    let listener = try await PostgresConnection.connect(
      attempt.options.postgres, on: attempt.reactor, logger: attempt.logger)
    defer { bell.close() }
    let layout = try OutboxLayout(OutboxBacklog.relation)
    let began = table.checkpoint
    var position = began
    // The position committed in Kafka may be ahead of the checkpoint, which is recorded after it.
    if case .table(let row)? = delivery.published, position < row { position = row }
    delivery.reached = .table(position)
    var nap = Self.shortestNap
    var examinedAt = ContinuousClock.now - .seconds(10)
    attempt.logger.notice("Relaying from the table", metadata: ["relay": attempt.options.slot])
    attempt.logger.debug(
      "Rows after this position are read",
      metadata: [
        "position": "\(position)",
        "published": published.map { "\($0.snapshot), then \($0.others.sorted().suffix(20))" } ?? "unknown",
      ])
    do {
      try await listener.listen("annals_log") { bell.ring() }
      while true {
        var batch = MessageBatch()
        var reached = position
        var open: Int?
        // Each batch is a part of its own in the tracker: a shutdown in the middle of a read, or in its commit, records
        // the batches that were handed over.
        func send() async throws {
          guard let number = open else { return }
          let full = batch
          batch = MessageBatch()
          try await delivery.deliver(full)
          close(number, at: reached)
          open = nil
        }
        let part = try await table.read(after: position, pause: send) { row, lsn in
          metrics.rows.increment()
          reached = row.position
          if published?.holds(row.position) == true { return }
          let number = open ?? delivery.tracker.begin(at: row.recordedAt)
          open = number
          try reading.publish(row, of: layout, number, at: lsn, into: &batch)
        }
        try await send()
        position = part.end
        let isWhole = part.count < OutboxTable.batch
        close(delivery.tracker.begin(), at: position, complete: isWhole ? part.horizon : TransactionID(0))
        delivery.reached = .table(position)
        try await delivery.commit()
        try delivery.check()
        onProgress(table.checkpoint != began)
        try await record(over: attempt.session)
        attempt.measure()
        if isWhole { try await delivery.review() }
        if ContinuousClock.now - examinedAt >= .seconds(5) {
          examinedAt = .now
          _ = try await reading.examine()
          try await delivery.examine()
          if isSlotLeft { await dropSlot() }
        }
        guard part.count == 0 else {
          nap = Self.shortestNap
          continue
        }
        // A row that exists but is not final yet soon becomes final: the first naps are short.
        let outcome = await bell.wait(timeout: delivery.tracker.inFlight > 0 ? min(nap, .milliseconds(50)) : nap)
        if outcome == .cancelled { throw CancellationError() }
        nap = outcome == .rung ? Self.shortestNap : min(nap * 2, .seconds(1))
      }
    } catch {
      await listener.close()
      throw error
    }
  }

  /// Ends a part of a read.
  private func close(_ number: Int, at end: Position, complete: TransactionID = TransactionID(0)) {
    attempt.delivery.tracker.committed(number, end: nil)
    readings.append((number, end, complete))
  }

  /// Transactions that a relay of the same name published from the WAL; nil if none are known.
  private func publishedFromWAL() async throws -> Published? {
    let watermark = Watermark()
    try await watermark.read(attempt.options.slot, in: reading.epoch, attempt.session, confirmed: .max, streamed: .zero)
    return watermark.published(confirmed: .max)
  }

  func finish() async throws {
    try await attempt.withOwnSession { try await record(over: $0) }
    attempt.logger.debug(
      "Checkpoint recorded at shutdown",
      metadata: ["position": "\(table.checkpoint)", .count: "\(attempt.delivery.tracker.inFlight)"])
  }
  func close() {}

  /// Records the acknowledged reads as the checkpoint in the database.
  private func record(over session: PostgresSession) async throws {
    if attempt.options.isLooking {
      readings = []
      return
    }
    let first = attempt.delivery.tracker.firstUnconfirmed
    let acknowledged = readings.prefix { $0.number < first }
    guard let end = acknowledged.last?.end else { return }
    let complete = acknowledged.reduce(table.complete) { max($0, $1.complete) }
    // An idle relay writes little: each record draws a transaction id, which would move the horizon again.
    if end != table.checkpoint || complete > table.complete && ContinuousClock.now - recordedAt >= Self.idleRecords {
      try await table.record(end, complete: complete, over: session)
      recordedAt = .now
    }
    // Only after they are recorded: a shutdown that cancels the query above records them with `finish()`.
    readings.removeFirst(acknowledged.count)
  }

  /// Drops a slot left over from `relay.source=wal`, which would retain WAL forever. The table has all its events.
  private func dropSlot() async {
    let slot = attempt.options.slot
    isSlotLeft = false
    do {
      let state = try await ReplicationSlot(name: slot, publication: attempt.options.publication).state(attempt.session)
      guard state != nil else { return }
      try await attempt.session.execute(
        "select pg_drop_replication_slot(\(quotedLiteral(slot)))", name: "dropping the slot")
      attempt.logger.notice("Replication slot dropped: relay.source=table does not use it", metadata: ["slot": slot])
    } catch {
      // The server refuses while it has not noticed that the slot's reader is gone. The next check retries.
      isSlotLeft = true
      attempt.logger.error(
        "An unused replication slot retains WAL and could not be dropped; retrying. Drop it if this persists",
        metadata: ["slot": slot, .error: "\(error)"])
    }
  }
}
