import Metrics
import Events
import Postgres

/// Reads rows of the outbox from the table, encodes and sends them: for a new slot, for a catch-up, and for
/// `relay.source=table`.
struct OutboxReading {
  let attempt: Attempt
  let encoder: OutboxEncoder
  /// The log's epoch.
  let epoch: Int32
  private var delivery: Delivery { attempt.delivery }

  /// Encodes the messages of a row that was read under a snapshot at `lsn`.
  func publish(
    _ row: OutboxBacklog.Row, of layout: OutboxLayout, _ number: Int, at lsn: LogSequenceNumber,
    into batch: inout MessageBatch
  ) throws {
    let context = ChangeContext(
      database: attempt.database, number: number, transaction: UInt32(truncatingIfNeeded: row.position.transaction),
      committedAt: row.recordedAt, lsn: lsn, lastCommit: nil, origin: nil)
    let columns = try layout.row(row.columns)
    delivery.counting(number, from: .event(row.position.sequence), &batch) { batch in
      encoder.encode(columns, schema: layout.relation.schema, context, into: &batch)
    }
  }

  /// Publishes every outbox row that the session's snapshot sees and `published` does not hold. Returns after all of
  /// them are acknowledged.
  ///
  /// - Parameter seen: Exactly once: the session's snapshot. Each range of numbers is then a Kafka transaction of its own, and an
  ///   attempt that is stopped leaves the others to the next one.
  /// - Returns: The number of rows.
  func publishAll(
    after position: Position = Position.start, unseenBy published: Published?, at start: LogSequenceNumber,
    inPartsOf seen: TransactionSnapshot? = nil
  ) async throws -> Int {
    let layout = try OutboxLayout(OutboxBacklog.relation)
    let number = delivery.tracker.begin()
    var backlog = OutboxBacklog()
    var count = 0
    var earlier: (snapshot: TransactionSnapshot, below: Int64)?
    if seen != nil, case .reading(let snapshot, let below)? = delivery.published { earlier = (snapshot, below) }
    for range in try await OutboxBacklog.ranges(attempt.session) {
      backlog = OutboxBacklog()
      try await attempt.copyOut(OutboxBacklog.query(after: position, unseenBy: published, in: range)) {
        message, batch in
        guard let row = try backlog.row(message), published?.holds(row.position) != true else { return }
        if let earlier, row.position.sequence < earlier.below,
          row.position.epoch < epoch || earlier.snapshot.sees(row.position.transaction)
        {
          return
        }
        count += 1
        try publish(row, of: layout, number, at: start, into: &batch)
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

  /// Reads the source's present position and updates the metrics.
  ///
  /// - Throws: `ReplicationError.displaced` if the log was adopted since the attempt began: the next one begins with the whole
  ///   outbox.
  func examine() async throws -> SourcePosition {
    let source = try await SourcePosition.read(attempt.session)
    guard source.epoch == epoch else { throw ReplicationError.displaced(relay: attempt.options.slot) }
    if encoder.position > 0 {
      attempt.metrics.lagEvents.set(
        max(0, source.lastEvent - encoder.position) + Int64(delivery.tracker.inFlight))
    }
    return source
  }
}
