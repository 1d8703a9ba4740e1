import Metrics
import Events
import Logging
import Postgres

/// The outbox in a slot's stream. Far behind in the WAL, it is read from the table instead, by the watermark.
final class OutboxStream: SlotFeed {
  private let reading: OutboxReading
  private let attempt: Attempt
  private let options: RelayOptions
  /// nil for who only looks.
  private let watermark: Watermark?
  /// Prepares the next reading of the table.
  private var plan: CatchUpPlan?

  init(_ reading: OutboxReading, _ watermark: Watermark?) {
    (self.reading, self.watermark) = (reading, watermark)
    (attempt, options) = (reading.attempt, reading.attempt.options)
  }

  var pluginOptions: [(name: String, value: String)] {
    [("proto_version", "2"), ("streaming", "on"), ("binary", "true")]
  }

  func encode(_ message: PgOutputMessage, _ context: ChangeContext, into batch: inout MessageBatch) throws {
    try reading.encoder.encode(message, context, into: &batch)
  }

  // MARK: The start

  /// A new slot covers only transactions that commit after its creation. Earlier outbox rows that the watermark does
  /// not hold are published from the table first. The slot is recorded as ready after all of them are acknowledged. A
  /// slot that is not ready, lost or missing is created again, and the outbox is read again.
  func prepare(_ preparation: SlotPreparation) async throws {
    let (slot, session, delivery) = (preparation.slot, attempt.session, attempt.delivery)
    _ = try await slot.isRemembered(as: .outbox, session)
    try await preparePublication(slot)
    let known = try await slot.state(session)
    let confirmed = max(known?.confirmed ?? .zero, delivery.publishedLSN ?? .zero)
    let isReady = try await slot.isReady(session)
    let wasStreamed = isReady || known.map(preparation.isPublished) ?? false
    try await watermark?.read(
      options.slot, in: reading.epoch, session, confirmed: confirmed, streamed: wasStreamed ? confirmed : .zero)
    if let known, known.walStatus != "lost" {
      if wasStreamed {
        if !isReady { try await slot.recordReady(session, start: known.confirmed ?? .zero) }
        // Checkpoints are left over if a relay ended right before it could delete them.
        try await OutboxTable.forget(options.slot, session)
        delivery.tracker = ConfirmationTracker(confirmed: confirmed)
        return
      }
    }
    if let known {
      attempt.logger.error(
        "The slot is unusable and will be created again; missed events are published from the table",
        metadata: ["slot": options.slot, "wal_status": known.walStatus])
    }
    // Rows that a relay with relay.source=table has published are not sent again.
    let position = try await OutboxTable.least(options.slot, session) ?? Position.start
    let published = watermark?.published(confirmed: .max)
    if watermark?.hasGap == true { try await forgetPublished(confirmed: confirmed) }
    try await slot.recordUnready(session, source: "wal")
    var seen: TransactionSnapshot?
    let start = try await preparation.withNewSlot { start in
      let snapshot = try await SourcePosition.read(session).snapshot
      seen = snapshot
      let count = try await reading.publishAll(
        after: position, unseenBy: published, at: start,
        inPartsOf: options.delivery == .exactlyOnce ? snapshot : nil)
      attempt.logger.notice("Outbox published from the table", metadata: [.count: "\(count)"])
    }
    try await slot.recordReady(session, start: start)
    if let seen, let watermark {
      watermark.reset(to: seen, at: start)
      try await watermark.record(options.slot, session, confirmed: start, withRecent: false)
    }
    try await OutboxTable.forget(options.slot, session)
  }

  func preparePublication(_ slot: ReplicationSlot) async throws {
    guard try await !slot.hasPublication(attempt.session) else { return }
    try await attempt.session.execute(
      """
      create publication \(quotedIdentifier(slot.publication)) for table annals.outbox
        with (publish = 'insert', publish_via_partition_root = true)
      """, name: "creating the publication")
    attempt.logger.notice("Publication created", metadata: ["publication": slot.publication])
  }

  func publishPresent(at start: LogSequenceNumber) async throws {
    _ = try await reading.publishAll(unseenBy: nil, at: start)
  }

  /// Whoever begins again after a reading with a gap that was cut short must not leave out a part of it either.
  private func forgetPublished(confirmed: LogSequenceNumber) async throws {
    try await watermark?.record(options.slot, attempt.session, confirmed: confirmed, withRecent: false)
  }

  // MARK: Catch-up

  var isHurried: Bool { plan != nil }

  private var catchesUp: Bool {
    // The table does not record a row's replication origin.
    options.catchUp > 0 && options.delivery == .atLeastOnce && !options.skipsForeignOrigins
  }

  /// Moves the watermark, and decides when the table is read.
  func examine(_ place: StreamPlace) async throws -> Bool {
    guard let watermark else { return false }
    let source = try await reading.examine()
    if watermark.advance(confirmed: place.confirmed) {
      try await watermark.record(options.slot, attempt.session, confirmed: place.confirmed, withRecent: false)
    }
    if watermark.isBehind { watermark.offer(source.snapshot, at: source.inserted) }
    guard catchesUp else { return false }
    if var plan {
      plan.observe(source)
      // The stream has passed the plan's position, or the watermark is unknown.
      let isOver = max(place.reached, place.confirmed) >= plan.start || !watermark.isKnown
      self.plan = isOver ? nil : plan
      return plan.isReady && !isOver
    }
    let (flushed, confirmed) = (source.flushed.value, place.confirmed.value)
    if flushed > confirmed, flushed - confirmed > options.catchUp, watermark.isKnown {
      plan = try await CatchUpPlan.make(at: source, attempt.session)
    }
    return false
  }

  /// Reads the outbox from the table, and advances the slot to where the stream goes on.
  func readTable(_ place: StreamPlace) async throws -> LogSequenceNumber? {
    let began = ContinuousClock.now
    guard let plan, let watermark, let published = watermark.published(confirmed: place.confirmed) else {
      throw ReplicationError.outOfPlace("a catch-up plan without a watermark")
    }
    defer { (self.plan, attempt.reading) = (nil, nil) }
    attempt.reading = "catching up from the table"
    // The last transaction of the stream ended after the plan's position: no catch-up is needed.
    guard place.reached < plan.start else { return nil }
    var count = 0
    let slot = ReplicationSlot(name: options.slot, publication: options.publication)
    // With a gap the reading repeats what lies before the slot's position: cut short, it must be begun again, and not followed by the
    // slot.
    let repeats = watermark.hasGap
    if repeats {
      try await forgetPublished(confirmed: place.confirmed)
      try await slot.recordUnready(attempt.session, source: "wal")
    }
    try await attempt.withSnapshot {
      let source = try await SourcePosition.read(attempt.session)
      count = try await reading.publishAll(unseenBy: published, at: plan.start)
      watermark.reset(to: source.snapshot, at: source.inserted, before: plan.start)
    }
    try await watermark.record(
      options.slot, attempt.session, confirmed: attempt.delivery.confirmed, withRecent: false)
    try await slot.advance(to: plan.start, over: attempt.session, on: attempt.reactor)
    if repeats { try await slot.recordReady(attempt.session, start: plan.start) }
    attempt.metrics.catchUps.increment()
    attempt.logger.notice(
      "Caught up from the table",
      metadata: [.count: "\(count)", "position": "\(plan.start)", "took": "\(ContinuousClock.now - began)"])
    return plan.start
  }

  func finish(confirmed: LogSequenceNumber) async throws {
    guard let watermark else { return }
    _ = watermark.advance(confirmed: confirmed)
    try await attempt.withOwnSession {
      try await watermark.record(options.slot, $0, confirmed: confirmed, withRecent: true)
    }
    attempt.logger.debug(
      "Watermark recorded at shutdown",
      metadata: [
        "confirmed": "\(confirmed)", "watermark": "\(watermark)", .count: "\(attempt.delivery.tracker.inFlight)",
      ])
  }
}
