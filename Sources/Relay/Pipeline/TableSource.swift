import Logging
import Metrics
import Postgres
import Reactor

/// Reads the outbox from the table, woken by its writers and, behind that, by the clock.
final class TableSource: ChangeSource {
  private let attempt: Attempt
  private let table: OutboxTable
  /// What has been read and is not recorded yet: the reading's number, where it ended, and what is complete with it.
  private var readings: [(number: Int, end: OutboxPosition, complete: TransactionID)] = []

  private var isSlotLeft = false

  static let shortestNap = Duration.milliseconds(5)

  init(_ attempt: Attempt, shard: Int, of shards: Int) {
    self.attempt = attempt
    table = OutboxTable(relay: attempt.options.slot, shard: shard, of: shards, attempt.session)
  }

  func run(_ onProgress: () -> Void) async throws {
    guard let encoder = attempt.encoder as? OutboxEncoder else {
      throw ReplicationError.outOfPlace("tables of others, which are read from the WAL alone")
    }
    let (delivery, metrics) = (attempt.delivery, attempt.metrics)
    try await delivery.beginTransactions()
    let published = try await publishedFromWAL()
    try await table.begin(at: TransactionID(published?.snapshot.xmin ?? 0), logger: attempt.logger)
    await dropSlot()
    let bell = Doorbell(on: attempt.reactor)
    let listener = try await PostgresConnection.connect(
      attempt.options.postgres, on: attempt.reactor, logger: attempt.logger)
    defer { bell.close() }
    let layout = try OutboxLayout(OutboxBacklog.relation)
    var position = table.checkpoint
    // What Kafka has in a transaction with its messages is further than what was recorded behind it.
    if case .table(let row)? = delivery.published, position < row { position = row }
    delivery.reached = .table(position)
    var nap = Self.shortestNap
    var examinedAt = ContinuousClock.now - .seconds(10)
    attempt.logger.notice("Relaying from the table", metadata: ["relay": attempt.options.slot])
    do {
      try await listener.listen("annals_outbox") { bell.ring() }
      while true {
        let number = delivery.tracker.begin()
        var batch = MessageBatch()
        func send() async throws {
          let full = batch
          batch = MessageBatch()
          try await delivery.deliver(full)
        }
        let reading = try await table.read(after: position, pause: send) { row, lsn in
          metrics.rows.increment()
          if published?.holds(row.transaction) == true { return }
          try attempt.publish(row, of: layout, number, at: lsn, by: encoder, into: &batch)
        }
        try await send()
        // Readings are counted as the WAL is: the end of each is one more.
        delivery.tracker.committed(number, end: LogSequenceNumber(UInt64(number) + 1))
        position = reading.end
        let isWhole = reading.count < OutboxTable.batch
        readings.append((number, position, isWhole ? reading.horizon : TransactionID(0)))
        delivery.reached = .table(position)
        try await delivery.commit()
        try delivery.check()
        onProgress()
        try await record(over: attempt.session)
        attempt.measure()
        if isWhole { try await delivery.review() }
        if ContinuousClock.now - examinedAt >= .seconds(5) {
          examinedAt = .now
          _ = try await attempt.examine()
          if isSlotLeft { await dropSlot() }
        }
        guard reading.count == 0 else {
          nap = Self.shortestNap
          continue
        }
        // A row that is there and not final yet comes soon: naps begin short.
        let outcome = await bell.wait(timeout: delivery.tracker.inFlight > 0 ? min(nap, .milliseconds(50)) : nap)
        if outcome == .cancelled { throw CancellationError() }
        nap = outcome == .rung ? Self.shortestNap : min(nap * 2, .seconds(1))
      }
    } catch {
      await listener.close()
      throw error
    }
  }

  /// What a relay of the same name has published while it read the WAL, where one did.
  private func publishedFromWAL() async throws -> Published? {
    let watermark = Watermark()
    let end = LogSequenceNumber(.max)
    try await watermark.read(attempt.options.slot, attempt.session, confirmed: end)
    return watermark.published(confirmed: end)
  }

  func finish() async throws { try await attempt.withOwnSession { try await record(over: $0) } }
  func close() {}

  /// Records in the database what has been acknowledged of the readings.
  private func record(over session: PostgresSession) async throws {
    var last: (end: OutboxPosition, complete: TransactionID)?
    while let reading = readings.first, UInt64(reading.number) < attempt.delivery.tracker.confirmed.value {
      last = (reading.end, max(reading.complete, last?.complete ?? TransactionID(0)))
      readings.removeFirst()
    }
    guard let last, last.end != table.checkpoint || last.complete > table.complete else { return }
    try await table.record(last.end, complete: max(last.complete, table.complete), over: session)
  }

  /// A slot that is left of the other source would keep WAL for ever: everything that it stands for is in the table.
  private func dropSlot() async {
    let slot = attempt.options.slot
    isSlotLeft = false
    do {
      guard try await SlotState.read(slot, attempt.session) != nil else { return }
      try await attempt.session.execute(
        "select pg_drop_replication_slot(\(quotedLiteral(slot)))", name: "dropping the slot")
      attempt.logger.notice("Replication slot dropped: the table is read now", metadata: ["slot": slot])
    } catch {
      // A server that has not noticed yet that its reader is gone refuses: it is tried again.
      isSlotLeft = true
      attempt.logger.error(
        "A replication slot is left and keeps WAL: drop it", metadata: ["slot": slot, .error: "\(error)"])
    }
  }
}
