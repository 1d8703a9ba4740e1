import Events
import Logging
import Metrics
import Postgres
import Time

/// Creates the publication and the slot if they are missing, and publishes the changes that a new slot does not cover.
struct SlotPreparation {
  let attempt: Attempt
  private var options: RelayOptions { attempt.options }
  private var session: PostgresSession { attempt.session }
  private var delivery: Delivery { attempt.delivery }
  private var slot: ReplicationSlot { ReplicationSlot(name: options.slot, publication: options.publication) }

  func run() async throws {
    switch options.feed {
    case .outbox: try await prepareOutbox()
    case .connector(let connector): try await prepareTables(connector)
    }
  }

  /// A new slot covers only transactions that commit after its creation. Earlier outbox rows that the watermark does
  /// not hold are published from the table first. The slot is recorded as ready after all of them are acknowledged. A
  /// slot that is not ready, lost or missing is created again, and the outbox is read again.
  private func prepareOutbox() async throws {
    _ = try await slot.isRemembered(as: "outbox", session)
    try await slot.createOutboxPublicationIfMissing(session, logger: attempt.logger)
    let known = try await slot.state(session)
    let confirmed = max(known?.confirmed ?? .zero, delivery.publishedLSN ?? .zero)
    try await attempt.watermark?.read(options.slot, in: attempt.epoch, session, confirmed: confirmed)
    if let known, known.walStatus != "lost" {
      let isReady = try await slot.isReady(session)
      if isReady || isPublished(known) {
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
    let published = attempt.watermark?.published(confirmed: LogSequenceNumber(.max))
    try await slot.recordUnready(session, source: "wal")
    var seen: Snapshot?
    let start = try await withNewSlot { start in
      let snapshot = try await TableReading.present(session).snapshot
      seen = snapshot
      let count = try await attempt.publishOutbox(
        after: position, unseenBy: published, at: start,
        inPartsOf: options.delivery == .exactlyOnce ? snapshot : nil)
      attempt.logger.notice("Outbox published from the table", metadata: [.count: "\(count)"])
    }
    try await slot.recordReady(session, start: start)
    if let seen, let watermark = attempt.watermark {
      watermark.reset(to: seen, at: start)
      try await watermark.record(options.slot, session, confirmed: start, withRecent: false)
    }
    try await OutboxTable.forget(options.slot, session)
  }

  /// True if the position committed in Kafka has reached the slot's start. A relay that ended right after that commit
  /// could no longer record in the database that the slot is ready.
  private func isPublished(_ slot: SlotState) -> Bool {
    guard let published = delivery.publishedLSN, let confirmed = slot.confirmed else { return false }
    return published >= confirmed
  }

  /// Creates the slot and runs `body` under a snapshot that sees exactly what was committed before the slot's start.
  private func withNewSlot(_ body: (LogSequenceNumber) async throws -> Void) async throws -> LogSequenceNumber {
    let replication = try await PostgresSession.connect(
      options.postgres, replication: true, on: attempt.reactor, logger: attempt.logger)
    defer { replication.close() }
    let (start, snapshot) = try await slot.create(session, over: replication)
    attempt.logger.notice("Replication slot created", metadata: ["slot": options.slot, "start": "\(start)"])
    try await attempt.withSnapshot(snapshot) { try await body(start) }
    delivery.reached = .wal(start)
    try await delivery.commit(isNeeded: true)
    return start
  }

  // MARK: An application's tables

  /// With an initial snapshot, the tables' rows are published before the slot's stream. Until all of them are
  /// acknowledged, a second slot, which retains no WAL, marks the first as unfinished. After a restart, tables that
  /// were read completely are not read again.
  private func prepareTables(_ connector: ConnectorOptions) async throws {
    // Also refuses the name of another kind of relay.
    let isRemembered = try await slot.isRemembered(as: "tables", session)
    try await slot.preparePublication(connector, session, logger: attempt.logger)
    let noted = try await SnapshotProgress.read(options.slot, session)
    // Exactly once: one Kafka transaction holds the whole snapshot, so partial progress does not count.
    let progress = options.delivery == .exactlyOnce ? nil : noted
    let known = try await slot.state(session)
    var isUnfinished = try await slot.isMarked(session)
    if isUnfinished, known != nil, !connector.snapshotMode.readsTables {
      // The tables are not wanted any more; the slot goes on where it is.
      try await slot.unmark(session)
      isUnfinished = false
    }
    if let known, isUnfinished, isPublished(known) {
      try await slot.unmark(session)
      isUnfinished = false
    }
    if let known, known.walStatus != "lost" {
      let confirmed = max(known.confirmed ?? .zero, delivery.publishedLSN ?? .zero)
      if isUnfinished, let progress {
        try await resume(from: confirmed, progress)
        isUnfinished = false
      }
      if !isUnfinished {
        delivery.tracker = ConfirmationTracker(confirmed: confirmed)
        follow(progress)
        try await slot.remember(session, logger: attempt.logger)
        return
      }
    } else if !isUnfinished, connector.snapshotMode != .whenNeeded {
      if known != nil { throw ReplicationError.slotLost(options.slot) }
      if isRemembered { throw ReplicationError.slotGone(options.slot) }
    }
    try await noted?.forget(session)
    if connector.snapshotMode.readsTables { try await slot.mark(session) }
    _ = try await withNewSlot { start in
      guard connector.snapshotMode.readsTables else { return }
      try await publishTables(at: start, progress)
    }
    if connector.snapshotMode.readsTables { try await slot.unmark(session) }
    try await slot.remember(session, logger: attempt.logger)
    follow(progress)
  }

  // MARK: Looking

  /// Makes a temporary slot: a copy of the relay's own, or a new one, behind what the tables hold. It ends with the returned
  /// session, and nothing that a relay relies on is moved or recorded.
  func look() async throws -> (slot: String, session: PostgresSession) {
    let known = try await slot.state(session)
    let replication = try await PostgresSession.connect(
      options.postgres, replication: true, on: attempt.reactor, logger: attempt.logger)
    do {
      let pid = try await replication.execute("select pg_backend_pid()", name: "asking for a number").first?.first
      let name = "\(options.slot.prefix(40))_look_\((pid ?? nil) ?? "")"
      if known != nil {
        try await replication.execute(
          "select pg_copy_logical_replication_slot(\(quotedLiteral(options.slot)), \(quotedLiteral(name)), true)",
          name: "copying the slot")
        return (name, replication)
      }
      switch options.feed {
      case .outbox: try await slot.createOutboxPublicationIfMissing(session, logger: attempt.logger)
      case .connector(let connector):
        // One that exists is left as it is.
        if try await session.query(ReplicationSlot.publicationExists, [.text(options.publication)]).isEmpty {
          try await slot.preparePublication(connector, session, logger: attempt.logger)
        }
      }
      let new = ReplicationSlot(name: name, publication: options.publication)
      let (start, snapshot) = try await new.create(session, over: replication, isTemporary: true)
      try await attempt.withSnapshot(snapshot) {
        switch options.feed {
        case .outbox: _ = try await attempt.publishOutbox(unseenBy: nil, at: start)
        case .connector(let connector):
          if connector.snapshotMode.readsTables { try await publishTables(at: start, nil) }
        }
      }
      delivery.tracker = ConfirmationTracker(confirmed: start)
      return (name, replication)
    } catch {
      replication.close()
      throw error
    }
  }

  private func follow(_ progress: SnapshotProgress?) {
    guard let progress, !progress.readings.isEmpty else { return }
    attempt.snapshotProgress = progress
    (attempt.encoder as? ConnectorEncoder)?.readings = progress.readings
  }

  /// Reads the remaining tables under a new snapshot. The stream then starts at the slot's confirmed position and skips
  /// the changes that this snapshot already holds.
  private func resume(from start: LogSequenceNumber, _ progress: SnapshotProgress) async throws {
    attempt.logger.notice(
      "The initial snapshot was interrupted; resuming with the remaining tables",
      metadata: ["read": "\(progress.readings.count)"])
    try await attempt.withSnapshot { try await publishTables(at: start, progress) }
    try await slot.unmark(session)
  }

  /// Publishes the tables that have not been read yet, as the session's snapshot sees them, and waits until all of their
  /// rows are acknowledged.
  private func publishTables(at start: LogSequenceNumber, _ progress: SnapshotProgress?) async throws {
    guard let encoder = attempt.encoder as? ConnectorEncoder else { return }
    let reading = try await TableReading.present(session)
    let xmax = reading.snapshot.xmax
    var tables = try await TableSnapshot.tables(of: slot.publication, session)
    tables.removeAll {
      !encoder.includes(schema: $0.schema, table: $0.name) || progress?.readings[$0.id] != nil
    }
    let number = delivery.tracker.begin()
    var rows = SnapshotRows(
      encoder: encoder, delivery: delivery, isResumed: progress?.readings.isEmpty == false, reading: xmax,
      context: ChangeContext(
        database: attempt.database, number: number, transaction: UInt32(truncatingIfNeeded: xmax),
        committedAt: .now(), lsn: start, lastCommit: nil, origin: nil))
    // The table that is read except for its last row, which is sent once the next row is known.
    var pending: UInt32?
    for (index, table) in tables.enumerated() {
      let description = try await TableDescription.read(table.id, schema: table.schema, name: table.name, session)
      try encoder.add(TableSnapshot.relation(table, description), description)
      let name = "\(table.schema).\(table.name)"
      let before = rows.count
      attempt.metrics.snapshotTablesLeft.set(tables.count - index)
      attempt.reading = "reading table \(name), \(index + 1) of \(tables.count)"
      try await attempt.copyOut(TableSnapshot.query(description)) { message, batch in
        try rows.take(TableSnapshot.Row(message), of: table.id, into: &batch)
        if rows.count % 1_024 == 0 { attempt.metrics.snapshotRows.set(rows.count) }
      }
      attempt.logger.info("Table read", metadata: ["table": name, .count: "\(rows.count - before)"])
      guard let progress else { continue }
      let complete = rows.present == table.id ? pending : table.id
      if rows.present == table.id { pending = table.id }
      guard let complete else { continue }
      try await delivery.arrive()
      try await attempt.withOwnSession { try await progress.record(complete, reading, $0) }
    }
    var batch = MessageBatch()
    try rows.finish(into: &batch)
    try await delivery.deliver(batch)
    delivery.tracker.committed(number, end: start)
    try await delivery.arrive()
    attempt.reading = nil
    attempt.metrics.snapshotRows.set(rows.count)
    attempt.metrics.snapshotTablesLeft.set(0)
    if let progress, let pending {
      try await attempt.withOwnSession { try await progress.record(pending, reading, $0) }
    }
    attempt.logger.notice("Tables published", metadata: [.count: "\(rows.count)"])
  }
}

/// Encodes the rows of a snapshot. Each row is held back until the next one is known, because the last row of a table
/// and the last row of all tables carry a marker.
private struct SnapshotRows {
  let encoder: ConnectorEncoder
  let delivery: Delivery
  let isResumed: Bool
  /// Number of this snapshot (its xmax), which other snapshots do not share.
  let reading: UInt64
  let context: ChangeContext
  /// Number of rows taken.
  private(set) var count = 0
  private var held: (row: TableSnapshot.Row, table: UInt32, isFirst: Bool)?

  init(encoder: ConnectorEncoder, delivery: Delivery, isResumed: Bool, reading: UInt64, context: ChangeContext) {
    (self.encoder, self.delivery, self.isResumed) = (encoder, delivery, isResumed)
    (self.reading, self.context) = (reading, context)
  }

  /// The number of what a message comes from, in place of the LSN that a snapshot row does not have: a hash of snapshot, table and row number.
  private func source(of table: UInt32) -> UInt64 {
    var mixed = reading &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(table)
    mixed = (mixed ^ mixed >> 31) &* 0xBF58_476D_1CE4_E5B9 ^ UInt64(count)
    mixed = (mixed ^ mixed >> 29) &* 0x94D0_49BB_1331_11EB
    return 1 << 63 | (mixed ^ mixed >> 32)
  }

  /// The table whose last row is not sent yet.
  var present: UInt32? { held?.table }

  mutating func take(_ row: TableSnapshot.Row, of table: UInt32, into batch: inout MessageBatch) throws {
    let isFirst = held?.table != table
    try release(marker: isFirst ? "\"last_in_data_collection\"" : nil, into: &batch)
    held = (row, table, isFirst)
    count += 1
  }

  mutating func finish(into batch: inout MessageBatch) throws { try release(marker: "\"last\"", into: &batch) }

  private mutating func release(marker: StaticString?, into batch: inout MessageBatch) throws {
    guard let held else { return }
    let place: StaticString =
      count == 1 && !isResumed ? "\"first\"" : held.isFirst ? "\"first_in_data_collection\"" : "\"true\""
    try delivery.counting(context.number, at: source(of: held.table), place: context.lsn.value, &batch) { batch in
      try held.row.withTuple {
        try encoder.snapshot($0, of: held.table, marker: marker ?? place, context, into: &batch)
      }
    }
    self.held = nil
  }
}
