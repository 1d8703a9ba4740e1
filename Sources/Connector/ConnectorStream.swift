import Logging
import Metrics
import Postgres
import Relay
import Time

/// An application's tables in a slot's stream, behind the initial snapshot of their rows.
final class ConnectorStream: SlotFeed {
  private let attempt: Attempt
  private let connector: ConnectorOptions
  private let encoder: ConnectorEncoder
  /// Tables that the initial snapshot has read; nil once the stream can no longer repeat their rows.
  private var progress: SnapshotProgress?

  init(_ attempt: Attempt, _ connector: ConnectorOptions, _ encoder: ConnectorEncoder) {
    (self.attempt, self.connector, self.encoder) = (attempt, connector, encoder)
  }

  /// Values are requested as text: every type has a text form. With streaming, a logical message does not name its
  /// subtransaction, so a message of a subtransaction that is rolled back could not be recognized. Streaming is therefore
  /// off if logical messages are wanted.
  var pluginOptions: [(name: String, value: String)] {
    connector.takesMessages
      ? [("proto_version", "1"), ("messages", "true")] : [("proto_version", "2"), ("streaming", "on")]
  }

  var heartbeat: Duration? { connector.heartbeat }

  func includes(schema: String, table: String) -> Bool { encoder.includes(schema: schema, table: table) }

  func mustLearn(_ relation: PgOutputMessage.Relation) -> Bool { encoder.needsDescription(of: relation) }

  func learn(_ relation: PgOutputMessage.Relation) async throws {
    let description = try await TableDescription.read(
      relation.id, schema: relation.schema, name: relation.name, attempt.session)
    try encoder.add(relation, description)
  }

  func encode(_ message: PgOutputMessage, _ context: ChangeContext, into batch: inout MessageBatch) throws {
    try encoder.encode(message, context, into: &batch)
  }

  func beat(transaction: Int, into batch: inout MessageBatch) {
    encoder.heartbeat(transaction: transaction, into: &batch)
  }

  func examine(_ place: StreamPlace) async throws -> Bool {
    // Only what the server has noted counts: a stream that is started again begins there.
    if let progress, let end = progress.end, place.noted >= end {
      try await progress.forget(attempt.session)
      self.progress = nil
      encoder.readings = [:]
    }
    return false
  }

  // MARK: The start

  /// With an initial snapshot, the tables' rows are published before the slot's stream. Until all of them are
  /// acknowledged, a second slot, which retains no WAL, marks the first as unfinished. After a restart, tables that
  /// were read completely are not read again.
  func prepare(_ preparation: SlotPreparation) async throws {
    let (slot, session, delivery) = (preparation.slot, attempt.session, attempt.delivery)
    let marker = SnapshotMarker(slot: slot)
    // Also refuses the name of another kind of relay.
    let isRemembered = try await slot.isRemembered(as: .tables, session)
    try await Publication(name: slot.publication).prepare(connector, session, logger: attempt.logger)
    let noted = try await SnapshotProgress.read(slot.name, session)
    // Exactly once: one Kafka transaction holds the whole snapshot, so partial progress does not count.
    let progress = attempt.options.delivery == .exactlyOnce ? nil : noted
    let known = try await slot.state(session)
    var isUnfinished = try await marker.isSet(session)
    if isUnfinished, known != nil, !connector.snapshotMode.readsTables {
      // The tables are not wanted any more; the slot goes on where it is.
      try await marker.remove(session)
      isUnfinished = false
    }
    if let known, isUnfinished, preparation.isPublished(known) {
      try await marker.remove(session)
      isUnfinished = false
    }
    if let known, known.walStatus != "lost" {
      let confirmed = max(known.confirmed ?? .zero, delivery.publishedLSN ?? .zero)
      if isUnfinished, let progress {
        try await resume(from: confirmed, progress)
        try await marker.remove(session)
        isUnfinished = false
      }
      if !isUnfinished {
        delivery.tracker = ConfirmationTracker(confirmed: confirmed)
        follow(progress)
        try await slot.remember(session, logger: attempt.logger)
        return
      }
    } else if !isUnfinished, connector.snapshotMode != .whenNeeded {
      if known != nil { throw ReplicationError.slotLost(slot.name) }
      if isRemembered { throw ReplicationError.slotGone(slot.name) }
    }
    try await noted?.forget(session)
    if connector.snapshotMode.readsTables { try await marker.set(session) }
    _ = try await preparation.withNewSlot { start in
      guard connector.snapshotMode.readsTables else { return }
      try await publishTables(at: start, progress)
    }
    if connector.snapshotMode.readsTables { try await marker.remove(session) }
    try await slot.remember(session, logger: attempt.logger)
    follow(progress)
  }

  func preparePublication(_ slot: ReplicationSlot) async throws {
    // One that exists is left as it is.
    guard try await !slot.hasPublication(attempt.session) else { return }
    try await Publication(name: slot.publication).prepare(connector, attempt.session, logger: attempt.logger)
  }

  func publishPresent(at start: LogSequenceNumber) async throws {
    if connector.snapshotMode.readsTables { try await publishTables(at: start, nil) }
  }

  private func follow(_ progress: SnapshotProgress?) {
    guard let progress, !progress.readings.isEmpty else { return }
    self.progress = progress
    encoder.readings = progress.readings
  }

  /// Reads the remaining tables under a new snapshot. The stream then starts at the slot's confirmed position and skips
  /// the changes that this snapshot already holds.
  private func resume(from start: LogSequenceNumber, _ progress: SnapshotProgress) async throws {
    attempt.logger.notice(
      "The initial snapshot was interrupted; resuming with the remaining tables",
      metadata: ["read": "\(progress.readings.count)"])
    try await attempt.withSnapshot { try await publishTables(at: start, progress) }
  }

  /// Publishes the tables that have not been read yet, as the session's snapshot sees them, and waits until all of their
  /// rows are acknowledged.
  private func publishTables(at start: LogSequenceNumber, _ progress: SnapshotProgress?) async throws {
    let (session, delivery) = (attempt.session, attempt.delivery)
    let reading = try await TableReading.present(session)
    let xmax = reading.snapshot.xmax
    var tables = try await TableSnapshot.tables(of: attempt.options.publication, session)
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
