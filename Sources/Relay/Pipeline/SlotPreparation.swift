import Logging
import Postgres
import Time

/// Makes publication and slot where they are missing, and publishes what the slot will not tell of.
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

  /// A new slot sees only what is committed after it: what the outbox holds by then, and no watermark sees, is published
  /// from the table first. The slot counts as ready once all of that is acknowledged; one that is not ready, lost or gone
  /// is made anew, and the outbox is read again.
  private func prepareOutbox() async throws {
    try await slot.createOutboxPublicationIfMissing(session, logger: attempt.logger)
    let known = try await SlotState.read(options.slot, session)
    let confirmed = max(known?.confirmed ?? .zero, delivery.published ?? .zero)
    try await attempt.watermark?.read(options.slot, session, confirmed: confirmed)
    if let known, known.walStatus != "lost" {
      let isReady = try await slot.isReady(session)
      if isReady || isPublished(known) {
        if !isReady { try await slot.recordReady(session, start: known.confirmed ?? .zero) }
        delivery.tracker = ConfirmationTracker(confirmed: confirmed)
        return
      }
    }
    if let known {
      attempt.logger.error(
        "The slot is of no use any more and is made anew: what it missed comes from the table",
        metadata: ["slot": options.slot, "wal_status": known.walStatus])
    }
    // What a relay has published from the table before is not sent again.
    let position = try await OutboxTable.least(options.slot, session) ?? OutboxPosition()
    let published = attempt.watermark?.published(confirmed: LogSequenceNumber(.max))
    var seen: Snapshot?
    let start = try await withNewSlot { start in
      seen = try await session.execute("select pg_current_snapshot()", name: "naming the snapshot")
        .first?.first.flatMap { $0 }.flatMap { Snapshot($0) }
      let count = try await attempt.publishOutbox(after: position, unseenBy: published, at: start)
      attempt.logger.notice("Outbox published from the table", metadata: [.count: "\(count)"])
    }
    try await slot.recordReady(session, start: start)
    if let seen, let watermark = attempt.watermark {
      watermark.reset(to: seen, at: start)
      try await watermark.record(options.slot, session, confirmed: start, withRecent: false)
    }
    try await OutboxTable.forget(options.slot, session)
  }

  /// Whether Kafka has what came before the slot, in one transaction with the slot's beginning: a relay that ended right
  /// after that could not say so in the database any more.
  private func isPublished(_ slot: SlotState) -> Bool {
    guard let published = delivery.published, let confirmed = slot.confirmed else { return false }
    return published >= confirmed
  }

  /// Makes the slot anew and runs `body` while the session sees exactly what was committed before the slot's start.
  private func withNewSlot(_ body: (LogSequenceNumber) async throws -> Void) async throws -> LogSequenceNumber {
    let replication = try await PostgresSession.connect(
      options.postgres, replication: true, on: attempt.reactor, logger: attempt.logger)
    defer { replication.close() }
    let (start, snapshot) = try await slot.create(session, over: replication)
    attempt.logger.notice("Replication slot created", metadata: ["slot": options.slot, "start": "\(start)"])
    try await session.execute(
      """
      begin isolation level repeatable read;
      set local statement_timeout = 0;
      set transaction snapshot \(quotedLiteral(snapshot));
      """, name: "taking the slot's snapshot")
    try await body(start)
    try await session.execute("commit", name: "commit")
    try await delivery.commit(start, isNeeded: true)
    return start
  }

  // MARK: Tables of others

  /// With a snapshot, a slot's first life begins with the tables' rows. Until they are all acknowledged a second slot,
  /// which keeps no WAL, marks the first as unfinished: it is made anew then.
  private func prepareTables(_ connector: ConnectorOptions) async throws {
    try await slot.createPublicationIfMissing(connector, session, logger: attempt.logger)
    let known = try await SlotState.read(options.slot, session)
    var isUnfinished = try await SlotState.read(slot.marker, session) != nil
    if let known, isUnfinished, isPublished(known) {
      try await slot.unmark(session)
      isUnfinished = false
    }
    if let known, !isUnfinished {
      guard known.walStatus == "lost" else {
        delivery.tracker = ConfirmationTracker(confirmed: max(known.confirmed ?? .zero, delivery.published ?? .zero))
        return
      }
      guard connector.snapshotMode == .whenNeeded else { throw ReplicationError.slotLost(options.slot) }
    }
    if connector.snapshotMode.readsTables { try await slot.mark(session) }
    _ = try await withNewSlot { start in
      guard connector.snapshotMode.readsTables else { return }
      let count = try await publishTables(start: start)
      attempt.logger.notice("Tables published", metadata: [.count: "\(count)"])
    }
    if connector.snapshotMode.readsTables { try await slot.unmark(session) }
  }

  private func publishTables(start: LogSequenceNumber) async throws -> Int {
    guard let encoder = attempt.encoder as? ConnectorEncoder else { return 0 }
    let number = delivery.tracker.begin()
    let transaction = try await session.execute("select txid_snapshot_xmax(txid_current_snapshot())")
    let context = ChangeContext(
      database: attempt.database, number: number,
      transaction: transaction.first?.first.flatMap { $0 }.flatMap { UInt64($0) }.map { UInt32(truncatingIfNeeded: $0) }
        ?? 0, committedAt: .now(), lsn: start, lastCommit: nil, origin: nil)
    var count = 0
    // A row is sent when the next one is known: the last of a table, and the last of all, say so.
    var held: (row: TableSnapshot.Row, table: UInt32, isFirst: Bool)?
    func release(isLast: Bool, next: UInt32?, into batch: inout MessageBatch) throws {
      guard let present = held else { return }
      let marker: StaticString =
        isLast
        ? "\"last\""
        : next != present.table
          ? "\"last_in_data_collection\""
          : count == 0 ? "\"first\"" : present.isFirst ? "\"first_in_data_collection\"" : "\"true\""
      try delivery.counting(number, at: 1 << 63 | UInt64(count), &batch) { batch in
        try present.row.withTuple {
          try encoder.snapshot($0, of: present.table, marker: marker, context, into: &batch)
        }
      }
      count += 1
      held = nil
    }
    for table in try await TableSnapshot.tables(of: slot.publication, session)
    where encoder.includes(schema: table.schema, table: table.name) {
      let description = try await TableDescription.read(table.id, schema: table.schema, name: table.name, session)
      try encoder.add(TableSnapshot.relation(table, description), description)
      var isFirst = true
      let before = count
      try await attempt.copyOut(TableSnapshot.query(description)) { message, batch in
        try release(isLast: false, next: table.id, into: &batch)
        held = (TableSnapshot.Row(message), table.id, isFirst)
        isFirst = false
      }
      attempt.logger.info(
        "Table read", metadata: ["table": "\(table.schema).\(table.name)", .count: "\(count - before)"])
    }
    var batch = MessageBatch()
    try release(isLast: true, next: nil, into: &batch)
    try await delivery.deliver(batch)
    delivery.tracker.committed(number, end: start)
    try await delivery.settle()
    return count
  }
}
