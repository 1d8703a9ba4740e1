import Events
import Logging
import Metrics
import Postgres
import Reactor
import Time

/// Source of changes for one attempt.
protocol ChangeSource: AnyObject {
  /// Reads and delivers until it fails or is cancelled.
  ///
  /// - Parameter onProgress: Called whenever the source was read without an error, and told if this attempt has confirmed
  ///   anything yet.
  func run(_ onProgress: (_ hasConfirmed: Bool) -> Void) async throws
  /// Confirms the last acknowledged position at a graceful shutdown.
  func finish() async throws
  func close()
}

/// State that the parts of one relay attempt share. It is confined to the relay's reactor.
final class Attempt {
  let options: RelayOptions
  let reactor: Reactor
  let logger: Logger
  let metrics: RelayMetrics
  /// Session that holds the lock on the relay's name. Used for everything except the WAL stream and parking.
  let session: PostgresSession
  let database: String
  /// The log's epoch; 0 for the tables of others.
  let epoch: Int32
  let encoder: any ChangeEncoder
  /// nil unless Annals' own outbox is read from the WAL.
  let watermark: Watermark?
  let delivery: Delivery
  /// Tables that the initial snapshot has read; nil once the stream can no longer repeat their rows.
  var snapshotProgress: SnapshotProgress?
  /// Description of the table read that is in progress (snapshot or catch-up); nil: none.
  var reading: String?

  init(
    _ options: RelayOptions, on reactor: Reactor, logger: Logger, metrics: RelayMetrics, session: PostgresSession,
    database: String, epoch: Int32, encoder: any ChangeEncoder, watermark: Watermark?, delivery: Delivery
  ) {
    (self.options, self.reactor, self.logger, self.metrics) = (options, reactor, logger, metrics)
    (self.session, self.database, self.epoch, self.encoder) = (session, database, epoch, encoder)
    (self.watermark, self.delivery) = (watermark, delivery)
  }

  /// Encodes the messages of a row that was read from the table, under a snapshot at `lsn`.
  func publish(
    _ row: OutboxBacklog.Row, of layout: OutboxLayout, _ number: Int, at lsn: LogSequenceNumber,
    by encoder: OutboxEncoder, into batch: inout MessageBatch
  ) throws {
    let context = ChangeContext(
      database: database, number: number, transaction: UInt32(truncatingIfNeeded: row.position.transaction),
      committedAt: row.recordedAt, lsn: lsn, lastCommit: nil, origin: nil)
    let columns = try layout.row(row.columns)
    delivery.counting(number, at: UInt64(bitPattern: row.position.sequence), &batch) { batch in
      encoder.encode(columns, schema: layout.relation.schema, context, into: &batch)
    }
  }

  /// Publishes every outbox row that the session's snapshot sees and `published` does not hold. Returns after all of
  /// them are acknowledged.
  ///
  /// - Parameter seen: Exactly once: the session's snapshot. Each range of numbers is then a Kafka transaction of its own, and an
  ///   attempt that is stopped leaves the others to the next one.
  /// - Returns: The number of rows.
  func publishOutbox(
    after position: Position = Position.start, unseenBy published: Published?, at start: LogSequenceNumber,
    inPartsOf seen: Snapshot? = nil
  ) async throws -> Int {
    guard let encoder = encoder as? OutboxEncoder else { return 0 }
    let layout = try OutboxLayout(OutboxBacklog.relation)
    let number = delivery.tracker.begin()
    var backlog = OutboxBacklog()
    var count = 0
    var earlier: (snapshot: Snapshot, below: Int64)?
    if seen != nil, case .reading(let snapshot, let below)? = delivery.published { earlier = (snapshot, below) }
    for range in try await OutboxBacklog.ranges(session) {
      backlog = OutboxBacklog()
      try await copyOut(OutboxBacklog.query(after: position, unseenBy: published, in: range)) { message, batch in
        guard let row = try backlog.row(message), published?.holds(row.position) != true else { return }
        if let earlier, row.position.sequence < earlier.below,
          row.position.epoch < epoch || earlier.snapshot.sees(row.position.transaction)
        {
          return
        }
        count += 1
        try publish(row, of: layout, number, at: start, by: encoder, into: &batch)
      }
      // Below the earlier reading's end only late rows are sent: they are part of what follows.
      guard let seen, range.upperBound < .max, range.upperBound >= earlier?.below ?? .min else { continue }
      try await delivery.arrive()
      delivery.reached = .reading(seen, below: range.upperBound)
      try await delivery.commit()
    }
    delivery.tracker.committed(number, end: start)
    try await delivery.arrive()
    return count
  }

  /// Runs a COPY and sends the messages that `body` encodes from its rows.
  func copyOut(
    _ query: Query, _ body: (UnsafeRawBufferPointer, inout MessageBatch) throws -> Void
  ) async throws {
    var batch = MessageBatch()
    var failure: (any Error)?
    func send() async throws {
      if let failure { throw failure }
      let full = batch
      batch = MessageBatch()
      try await delivery.deliver(full)
      try delivery.check()
      measure()
    }
    try await session.copyOut(query, isPatient: true, pause: send) { message in
      guard failure == nil else { return }
      do { try body(message, &batch) } catch { failure = error }
    }
    try await send()
  }

  /// Runs `body` in a repeatable-read transaction of the session, without a statement timeout.
  ///
  /// - Parameter snapshot: An exported snapshot; nil: a new one.
  func withSnapshot(_ snapshot: String? = nil, _ body: () async throws -> Void) async throws {
    let taking = snapshot.map { "; set transaction snapshot \(quotedLiteral($0))" } ?? ""
    try await session.execute(
      "begin isolation level repeatable read; set local statement_timeout = 0\(taking)", name: "taking a snapshot")
    try await body()
    try await session.execute("commit", name: "commit")
  }

  /// Runs `body` with a separate session: the attempt's may be in a transaction, or have an unfinished query.
  func withOwnSession(_ body: (PostgresSession) async throws -> Void) async throws {
    try await PostgresSession.with(options.postgres, on: reactor, logger: logger, body)
  }

  func measure() {
    delivery.acknowledgements.measure()
    let lag = delivery.tracker.oldest.map { max(0, Timestamp.now().microseconds - $0.microseconds) } ?? 0
    metrics.lagSeconds.set(Int(lag / 1_000_000))
  }

  /// Reads the source's current position and updates the metrics; nil if the feed is not Annals' own outbox. Fails if the log
  /// was adopted since the attempt began: the next attempt begins with the whole outbox.
  func examine() async throws -> SourcePosition? {
    guard let encoder = encoder as? OutboxEncoder else { return nil }
    let source = try await SourcePosition.read(session)
    guard source.epoch == epoch else { throw ReplicationError.displaced(relay: options.slot) }
    if encoder.position > 0 {
      metrics.lagEvents.set(max(0, source.lastEvent - encoder.position) + Int64(delivery.tracker.inFlight))
    }
    return source
  }
}
