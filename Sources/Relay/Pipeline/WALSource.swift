import Logging
import Metrics
import Postgres
import Reactor
import Time

/// Reads a slot's stream: WAL → messages → delivery → confirmation. If the relay is far behind and the outbox can be
/// read from the table, the source catches up from the table and then resumes the stream.
final class WALSource: ChangeSource {
  private let attempt: Attempt
  private let options: RelayOptions
  private let delivery: Delivery
  private var stream: ReplicationStream?
  private var streamed: StreamedTransactions

  private struct OpenTransaction {
    let number: Int
    let committedAt: Timestamp
    let transaction: UInt32
  }
  private var open: OpenTransaction?
  private var origin: (name: String, lsn: LogSequenceNumber)?
  private var lastCommit: LogSequenceNumber?
  /// End LSN of the last transaction that was handed over completely.
  private var reached = LogSequenceNumber.zero
  private var serverEnd = LogSequenceNumber.zero

  /// Asynchronous work that must finish before the next message of the stream can be processed.
  private enum Suspension {
    /// The catalog must be queried for a table's columns.
    case undescribed(PgOutputMessage.Relation)
    /// A large transaction was committed and must be replayed from its spool.
    case committed(StreamedTransactions.Commit)
  }
  private var suspension: Suspension?
  /// Messages received after the suspension began.
  private var held: [(start: LogSequenceNumber, payload: [UInt8])] = []

  // Confirmation.
  private var wantsReply = false
  private var confirmed = LogSequenceNumber.zero
  private var confirmedAt = ContinuousClock.now

  // Catch-up.
  private var plan: CatchUpPlan?
  private var examinedAt = ContinuousClock.now - .seconds(60)
  /// The stream ends after the current transaction; later transactions are left to the next stream.
  private var isLeaving = false

  init(_ attempt: Attempt) {
    (self.attempt, options, delivery) = (attempt, attempt.options, attempt.delivery)
    streamed = Self.spools(attempt)
  }

  private static func spools(_ attempt: Attempt) -> StreamedTransactions {
    let options = attempt.options
    guard let encoder = attempt.encoder as? ConnectorEncoder else {
      return StreamedTransactions(directory: options.spoolDirectory, maximumMemory: options.spoolMemory)
    }
    return StreamedTransactions(directory: options.spoolDirectory, maximumMemory: options.spoolMemory) {
      encoder.includes(schema: $0, table: $1)
    }
  }

  /// Prepares the slot and streams.
  func run(_ onProgress: (Bool) -> Void) async throws {
    if options.isLooking { return try await look(onProgress) }
    try await delivery.beginTransactions()
    try await SlotPreparation(attempt: attempt).run()
    var start = delivery.publishedLSN ?? .zero
    reached = start
    while true {
      try await stream(from: start, onProgress)
      start = try await catchUp()
    }
  }

  /// Streams until a catch-up from the table is due. The connection is closed on return, so the slot is free.
  private func stream(from start: LogSequenceNumber, _ onProgress: (Bool) -> Void) async throws {
    let stream = try await ReplicationStream.start(
      slot: options.slot, from: start, options: pluginOptions, connecting: options.postgres, on: attempt.reactor,
      logger: attempt.logger)
    self.stream = stream
    attempt.logger.notice("Relaying", metadata: ["slot": options.slot, .host: stream.host])
    try await follow(stream, onProgress)
    try await delivery.arrive(whileWaiting: { try await self.reportIfDue() })
    // If a shutdown interrupts finish(), there is no stream left for it to finish.
    self.stream = nil
    defer { stream.close() }
    try await stream.finish(confirming: delivery.confirmed)
  }

  /// Streams from a temporary slot.
  private func look(_ onProgress: (Bool) -> Void) async throws {
    let (slot, session) = try await SlotPreparation(attempt: attempt).look()
    let stream = try await ReplicationStream.start(slot: slot, options: pluginOptions, over: session)
    self.stream = stream
    attempt.logger.notice("Looking: nothing is confirmed", metadata: ["slot": options.slot, .host: stream.host])
    try await follow(stream, onProgress)
  }

  func close() {
    stream?.close()
    stream = nil
  }

  func finish() async throws {
    let confirmed = delivery.confirmed
    if let watermark = attempt.watermark {
      _ = watermark.advance(confirmed: confirmed)
      try await attempt.withOwnSession {
        try await watermark.record(options.slot, $0, confirmed: confirmed, withRecent: true)
      }
      attempt.logger.debug(
        "Watermark recorded at shutdown",
        metadata: ["confirmed": "\(confirmed)", "watermark": "\(watermark)", .count: "\(delivery.tracker.inFlight)"])
    }
    try await stream?.finish(confirming: confirmed)
  }

  // MARK: Streaming

  /// Follows the stream until a catch-up from the table is due.
  private func follow(_ stream: ReplicationStream, _ onProgress: (Bool) -> Void) async throws {
    confirmed = delivery.confirmed
    confirmedAt = .now
    let began = confirmed
    let heartbeat: Duration? = if case .connector(let connector) = options.feed { connector.heartbeat } else { nil }
    var heartbeatAt = ContinuousClock.now
    var reviewedAt = ContinuousClock.now
    var wait = Duration.zero
    while true {
      var batch = MessageBatch()
      try await gather(from: stream, timeout: wait, into: &batch)
      try await resume(&batch)
      try await streamed.spill()
      if delivery.parksKeys, ContinuousClock.now - reviewedAt >= .seconds(1) {
        reviewedAt = .now
        try await deliver(&batch)
        if open == nil { try await delivery.review { try await self.reportIfDue() } }
      }
      if let heartbeat, ContinuousClock.now - heartbeatAt >= heartbeat {
        heartbeatAt = .now
        beat(&batch)
      }
      // A message that is encoded but not sent yet also blocks the confirmation of its transaction: the tracker counted
      // it when it was encoded.
      try await deliver(&batch)
      try delivery.check()
      // A Kafka transaction holds whole transactions of Postgres.
      if open == nil { try await delivery.commit() }
      // Only a position that was sent to Postgres counts: the next attempt begins there.
      onProgress(confirmed > began)
      try await reportIfDue()
      try await examineIfDue()
      measure()
      if isLeaving, open == nil, suspension == nil { return }
      wait = longestWait(heartbeat)
    }
  }

  private func longestWait(_ heartbeat: Duration?) -> Duration {
    let isQuiet = delivery.tracker.isIdle && delivery.confirmed == confirmed
    var wait = isQuiet ? .seconds(5) : options.confirmInterval
    if let heartbeat { wait = min(wait, heartbeat) }
    if delivery.parksKeys { wait = min(wait, .seconds(1)) }
    if plan != nil { wait = min(wait, .milliseconds(10)) }
    return wait
  }

  private func deliver(_ batch: inout MessageBatch) async throws {
    let full = batch
    batch = MessageBatch()
    try await delivery.deliver(full, whileWaiting: { try await self.reportIfDue() })
  }

  /// Sends the confirmed LSN to the server if it is due, which also shows that this relay is alive.
  private func reportIfDue() async throws {
    let now = ContinuousClock.now
    let isDue = now - confirmedAt >= options.confirmInterval && delivery.confirmed > confirmed
    guard isDue || wantsReply || now - confirmedAt >= .seconds(5) else { return }
    wantsReply = false
    confirmed = delivery.confirmed
    confirmedAt = now
    try await stream?.confirm(confirmed)
  }

  /// Receives the next message and all that have already arrived after it, up to a limit. Large batches cost Kafka less
  /// than many small ones. A message that arrives alone is not delayed.
  private func gather(
    from stream: ReplicationStream, timeout: Duration, into batch: inout MessageBatch
  ) async throws {
    var failure: (any Error)?
    var timeout = timeout
    var deadline: ContinuousClock.Instant?
    let isExactlyOnce = options.delivery == .exactlyOnce
    while true {
      let hasCome = try await stream.receive(timeout: timeout) { message in
        guard failure == nil else { return }
        do { try take(message, into: &batch) } catch { failure = error }
      }
      if let failure { throw failure }
      // A large transaction of which nothing is sent never fills the batch; the server wants an answer all the same.
      if wantsReply { try await reportIfDue() }
      let end = deadline ?? .now + (isExactlyOnce ? .milliseconds(20) : .milliseconds(5))
      deadline = end
      guard hasCome, suspension == nil else { return }
      if open != nil, batch.byteCount < 2 * gatheredBytes {
        // The rest of the transaction arrives soon. A small transaction is sent as a whole, so that a stop in between
        // repeats none of it.
        timeout = .milliseconds(100)
      } else {
        guard !wantsReply, batch.byteCount < gatheredBytes, .now < end else { return }
        timeout = .zero
      }
    }
  }

  /// Target size of a batch. Larger with exactly once: a Kafka transaction costs several round trips.
  private var gatheredBytes: Int { options.delivery == .exactlyOnce ? 4 << 20 : 256 << 10 }

  private var pluginOptions: [(name: String, value: String)] {
    let publication = ("publication_names", quotedIdentifier(options.publication))
    let streaming = [("proto_version", "2"), ("streaming", "on"), publication]
    switch options.feed {
    case .outbox: return streaming + [("binary", "true")]
    // Values are requested as text: every type has a text form. With streaming, a logical message does not name its
    // subtransaction, so a message of a subtransaction that is rolled back could not be recognized. Streaming is
    // therefore off if logical messages are wanted.
    case .connector(let connector):
      return connector.takesMessages ? [("proto_version", "1"), publication, ("messages", "true")] : streaming
    }
  }

  /// Adds a heartbeat as a transaction of its own, at the position that is already confirmed.
  private func beat(_ batch: inout MessageBatch) {
    guard open == nil, let encoder = attempt.encoder as? ConnectorEncoder else { return }
    let number = delivery.tracker.begin()
    delivery.counting(number, at: delivery.tracker.confirmed.value, &batch) {
      encoder.heartbeat(transaction: number, into: &$0)
    }
    delivery.tracker.committed(number, end: delivery.tracker.confirmed)
  }

  // MARK: Messages

  private func take(_ message: ReplicationMessage, into batch: inout MessageBatch) throws {
    if isLeaving, open == nil, suspension == nil { return }
    switch message {
    case .keepalive(let end, let wantsReply):
      serverEnd = max(serverEnd, end)
      if suspension == nil { delivery.tracker.keepalive(end: end) }
      if wantsReply { self.wantsReply = true }
    case .data(let start, let payload):
      serverEnd = max(serverEnd, start)
      guard suspension == nil else {
        held.append((start, Array(payload)))
        return
      }
      switch try streamed.take(payload, at: start) {
      case .kept: break
      case .plain(let message): try take(message, at: start, into: &batch)
      case .committed(let commit): suspension = .committed(commit)
      }
    }
  }

  private func take(_ message: PgOutputMessage, at start: LogSequenceNumber, into batch: inout MessageBatch) throws {
    switch message {
    case .begin(_, let committedAt, let transaction): begin(transaction, at: committedAt)
    case .origin(let lsn, let name): origin = (name, lsn)
    case .relation(let relation):
      if let encoder = attempt.encoder as? ConnectorEncoder, encoder.needsDescription(of: relation) {
        suspension = .undescribed(relation)
        return
      }
    case .message(false, _, _, _):
      // A non-transactional message counts even if the transaction around it is rolled back.
      let number = delivery.tracker.begin()
      let context = ChangeContext(
        database: attempt.database, number: number, transaction: 0, committedAt: .now(), lsn: start,
        lastCommit: lastCommit, origin: nil)
      try delivery.counting(number, at: start.value, &batch) {
        try attempt.encoder.encode(message, context, into: &$0)
      }
      delivery.tracker.committed(number, end: start)
      // Everything committed before the message has been received: its record ends at `start`.
      reached = max(reached, start)
      delivery.reached = .wal(reached)
      return
    default: break
    }
    if options.skipsForeignOrigins, origin != nil {
      // From Postgres 16 on, pgoutput can skip these itself.
      switch message {
      case .insert, .update, .delete, .truncate, .message: return
      default: break
      }
    }
    guard let open else { throw ReplicationError.outOfPlace("a change without a begin") }
    let context = ChangeContext(
      database: attempt.database, number: open.number, transaction: open.transaction, committedAt: open.committedAt,
      lsn: start, lastCommit: lastCommit, origin: origin)
    if case .insert = message { attempt.metrics.rows.increment() }
    try delivery.counting(open.number, at: start.value, &batch) {
      try attempt.encoder.encode(message, context, into: &$0)
    }
    if case .commit(let lsn, let end, _) = message {
      delivery.tracker.committed(open.number, end: end)
      reached = max(reached, end)
      delivery.reached = .wal(reached)
      lastCommit = lsn
      self.open = nil
    }
  }

  private func begin(_ transaction: UInt32, at committedAt: Timestamp) {
    open = OpenTransaction(
      number: delivery.tracker.begin(at: committedAt), committedAt: committedAt, transaction: transaction)
    origin = nil
  }

  // MARK: Suspensions

  /// Completes each suspension, then processes the messages that were held after it.
  private func resume(_ batch: inout MessageBatch) async throws {
    while let waiting = suspension {
      suspension = nil
      let rest = held
      held = []
      switch waiting {
      case .undescribed(let relation): try await describe(relation)
      case .committed(let commit): try await replay(commit, &batch)
      }
      for (start, payload) in rest {
        try payload.withUnsafeBytes { try take(.data(start: start, payload: $0), into: &batch) }
      }
    }
  }

  private func describe(_ relation: PgOutputMessage.Relation) async throws {
    guard let encoder = attempt.encoder as? ConnectorEncoder else { return }
    let description = try await TableDescription.read(
      relation.id, schema: relation.schema, name: relation.name, attempt.session)
    try encoder.add(relation, description)
  }

  /// Replays a large transaction from its spool, as if it had arrived without streaming.
  private func replay(_ commit: StreamedTransactions.Commit, _ batch: inout MessageBatch) async throws {
    let start = ContinuousClock.now
    try take(
      .begin(finalLSN: commit.lsn, committedAt: commit.committedAt, transaction: commit.transaction), at: commit.lsn,
      into: &batch)
    var offset = 0
    while true {
      let block = try await commit.spool.block(at: offset)
      if block.isEmpty { break }
      offset += block.count
      try await reportIfDue()
      var index = 0
      while index < block.count {
        try TransactionSpool.withRecord(of: block, at: &index) { start, payload in
          try take(try PgOutputDecoder.decode(payload), at: start, into: &batch)
        }
        if case .undescribed(let relation)? = suspension {
          suspension = nil
          try await describe(relation)
        }
        if batch.byteCount >= gatheredBytes {
          try await deliver(&batch)
          try delivery.check()
          try await reportIfDue()
          measure()
        }
      }
    }
    try take(.commit(lsn: commit.lsn, end: commit.end, committedAt: commit.committedAt), at: commit.lsn, into: &batch)
    attempt.logger.debug(
      "Large transaction relayed",
      metadata: ["bytes": "\(offset)", "took": "\(ContinuousClock.now - start)", "spilled": "\(streamed.spilled)"])
  }

  // MARK: Catch-up

  private var catchesUp: Bool {
    // The table does not record a row's replication origin.
    options.catchUp > 0 && options.delivery == .atLeastOnce && !options.skipsForeignOrigins && attempt.watermark != nil
  }

  /// Reads the source's position every few seconds, for the watermark, the metrics and the decision to catch up. The
  /// stream waits meanwhile, for milliseconds.
  private func examineIfDue() async throws {
    guard ContinuousClock.now - examinedAt >= (plan == nil ? .seconds(5) : .milliseconds(10)), !isLeaving else {
      return
    }
    examinedAt = .now
    let slot = try await SlotState.read(options.slot, attempt.session)
    if let slot { attempt.metrics.retained.set(slot.retained) }
    // The server's confirmed LSN counts: a restarted stream begins there.
    if let progress = attempt.snapshotProgress, let end = progress.end, slot?.confirmed ?? .zero >= end {
      try await progress.forget(attempt.session)
      attempt.snapshotProgress = nil
      (attempt.encoder as? ConnectorEncoder)?.readings = [:]
    }
    guard let watermark = attempt.watermark, let source = try await attempt.examine() else { return }
    let confirmed = delivery.confirmed
    if watermark.advance(confirmed: confirmed) {
      try await watermark.record(options.slot, attempt.session, confirmed: confirmed, withRecent: false)
    }
    if watermark.isBehind { watermark.offer(source.snapshot, at: source.inserted) }
    guard catchesUp else { return }
    if var plan {
      plan.observe(source)
      // The stream has passed the plan's position, or the watermark is unknown.
      let isOver = max(reached, confirmed) >= plan.start || !watermark.isKnown
      self.plan = isOver ? nil : plan
      isLeaving = plan.isReady && !isOver
    } else if source.flushed.value > confirmed.value, source.flushed.value - confirmed.value > options.catchUp,
      watermark.isKnown
    {
      plan = try await CatchUpPlan.make(at: source, attempt.session)
    }
  }

  /// Reads the outbox from the table, and advances the slot to the position where the stream resumes.
  ///
  /// - Returns: That position.
  private func catchUp() async throws -> LogSequenceNumber {
    let began = ContinuousClock.now
    guard let plan, let watermark = attempt.watermark,
      let published = watermark.published(confirmed: delivery.confirmed)
    else { throw ReplicationError.outOfPlace("a catch-up plan without a watermark") }
    defer {
      streamed = Self.spools(attempt)
      (self.plan, isLeaving, open, origin, suspension, held) = (nil, false, nil, nil, nil, [])
      attempt.reading = nil
    }
    attempt.reading = "catching up from the table"
    // The last transaction of the stream ended after the plan's position: no catch-up is needed.
    guard reached < plan.start else { return delivery.confirmed }
    var count = 0
    try await attempt.withSnapshot {
      let source = try await SourcePosition.read(attempt.session)
      count = try await attempt.publishOutbox(unseenBy: published, at: plan.start)
      watermark.reset(to: source.snapshot, at: source.inserted)
    }
    try await watermark.record(
      options.slot, attempt.session, confirmed: delivery.confirmed, withRecent: false)
    try await advanceSlot(to: plan.start)
    attempt.metrics.catchUps.increment()
    attempt.logger.notice(
      "Caught up from the table",
      metadata: [.count: "\(count)", "position": "\(plan.start)", "took": "\(ContinuousClock.now - began)"])
    delivery.tracker = ConfirmationTracker(confirmed: plan.start)
    reached = plan.start
    return plan.start
  }

  /// Advances the slot on the server, which costs less than sending the WAL in between.
  private func advanceSlot(to position: LogSequenceNumber) async throws {
    var backoff = Backoff(first: .milliseconds(10), limit: .milliseconds(500))
    let deadline = ContinuousClock.now + .seconds(10)
    while true {
      let failure: PostgresError
      do {
        try await attempt.session.execute(
          "select pg_replication_slot_advance(\(quotedLiteral(options.slot)), '\(position)')", name: "moving the slot")
        return
      } catch { failure = error }
      guard case .server(let error) = failure else { throw failure }
      // Statement timeout. The stream then skips the WAL before the position itself, more slowly.
      if error.sqlState == "57014" { return }
      // The server has not noticed yet that the stream is closed.
      guard error.sqlState == "55006", .now < deadline else { throw failure }
      try await attempt.reactor.sleep(for: backoff.next())
    }
  }

  private func measure() {
    attempt.measure()
    let confirmed = delivery.confirmed
    attempt.metrics.confirmedLSN.set(confirmed.value)
    attempt.metrics.unconfirmedBytes.set(serverEnd > confirmed ? serverEnd.value - confirmed.value : 0)
  }
}
