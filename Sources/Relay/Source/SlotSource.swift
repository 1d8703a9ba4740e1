import Logging
import Metrics
import Postgres
import Time

/// Reads a slot's stream: WAL → messages → delivery → confirmation. Its feed may read the table instead for a while, where
/// that is faster; the stream then goes on behind it.
package final class SlotSource: ChangeSource {
  private let attempt: Attempt
  private let feed: any SlotFeed
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
    case unlearned(PgOutputMessage.Relation)
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

  private var examinedAt = ContinuousClock.now - .seconds(60)
  /// The stream ends after the current transaction; later transactions are left to the next stream.
  private var isLeaving = false

  package init(_ attempt: Attempt, _ feed: any SlotFeed) {
    (self.attempt, self.feed, options, delivery) = (attempt, feed, attempt.options, attempt.delivery)
    streamed = Self.spools(attempt, feed)
  }

  private static func spools(_ attempt: Attempt, _ feed: any SlotFeed) -> StreamedTransactions {
    StreamedTransactions(directory: attempt.options.spoolDirectory, maximumMemory: attempt.options.spoolMemory) {
      feed.includes(schema: $0, table: $1)
    }
  }

  /// Prepares the slot and streams.
  package func run(_ onProgress: (Bool) -> Void) async throws {
    if options.isLooking { return try await look(onProgress) }
    try await delivery.beginTransactions()
    try await feed.prepare(SlotPreparation(attempt))
    var start = delivery.publishedLSN ?? .zero
    reached = start
    while true {
      try await stream(from: start, onProgress)
      start = try await leave()
    }
  }

  /// Streams until the feed leaves for the table. The connection is closed on return, so the slot is free.
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
    let (slot, session) = try await SlotPreparation(attempt).look(feed)
    let stream = try await ReplicationStream.start(slot: slot, options: pluginOptions, over: session)
    self.stream = stream
    attempt.logger.notice("Looking: nothing is confirmed", metadata: ["slot": options.slot, .host: stream.host])
    try await follow(stream, onProgress)
  }

  package func close() {
    stream?.close()
    stream = nil
  }

  package func finish() async throws {
    let confirmed = delivery.confirmed
    try await feed.finish(confirmed: confirmed)
    try await stream?.finish(confirming: confirmed)
  }

  // MARK: Streaming

  /// Follows the stream until the feed leaves for the table.
  private func follow(_ stream: ReplicationStream, _ onProgress: (Bool) -> Void) async throws {
    confirmed = delivery.confirmed
    confirmedAt = .now
    let began = confirmed
    let heartbeat = feed.heartbeat
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
    if feed.isHurried { wait = min(wait, .milliseconds(10)) }
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
    feed.pluginOptions + [("publication_names", quotedIdentifier(options.publication))]
  }

  /// Adds a heartbeat as a transaction of its own, at the position that is already confirmed.
  private func beat(_ batch: inout MessageBatch) {
    guard open == nil else { return }
    let number = delivery.tracker.begin()
    delivery.counting(number, from: .change(delivery.tracker.confirmed), &batch) {
      feed.beat(transaction: number, into: &$0)
    }
    delivery.tracker.committed(number, end: nil)
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
      if feed.mustLearn(relation) {
        suspension = .unlearned(relation)
        return
      }
    case .message(false, _, _, _):
      // A non-transactional message counts even if the transaction around it is rolled back.
      let number = delivery.tracker.begin()
      let context = ChangeContext(
        database: attempt.database, number: number, transaction: 0, committedAt: .now(), lsn: start,
        lastCommit: lastCommit, origin: nil)
      try delivery.counting(number, from: .change(start), &batch) {
        try feed.encode(message, context, into: &$0)
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
    try delivery.counting(open.number, from: .change(start), &batch) {
      try feed.encode(message, context, into: &$0)
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
      case .unlearned(let relation): try await feed.learn(relation)
      case .committed(let commit): try await replay(commit, &batch)
      }
      for (start, payload) in rest {
        try payload.withUnsafeBytes { try take(.data(start: start, payload: $0), into: &batch) }
      }
    }
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
        if case .unlearned(let relation)? = suspension {
          suspension = nil
          try await feed.learn(relation)
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

  // MARK: The table

  private var place: StreamPlace {
    StreamPlace(reached: reached, confirmed: delivery.confirmed, noted: noted)
  }
  private var noted: LogSequenceNumber = .zero

  /// Lets the feed look at the source every few seconds. The stream waits meanwhile, for milliseconds.
  private func examineIfDue() async throws {
    guard ContinuousClock.now - examinedAt >= (feed.isHurried ? .milliseconds(10) : .seconds(5)), !isLeaving else {
      return
    }
    examinedAt = .now
    let slot = try await SlotState.read(options.slot, attempt.session)
    if let slot { attempt.metrics.retained.set(slot.retained) }
    noted = slot?.confirmed ?? .zero
    isLeaving = try await feed.examine(place)
    try await delivery.examine()
  }

  /// Lets the feed read the table.
  ///
  /// - Returns: Where the stream goes on.
  private func leave() async throws -> LogSequenceNumber {
    defer {
      streamed = Self.spools(attempt, feed)
      (isLeaving, open, origin, suspension, held) = (false, nil, nil, nil, [])
    }
    guard let start = try await feed.readTable(place) else { return delivery.confirmed }
    delivery.tracker = ConfirmationTracker(confirmed: start)
    reached = start
    return start
  }

  private func measure() {
    attempt.measure()
    let confirmed = delivery.confirmed
    attempt.metrics.confirmedLSN.set(confirmed.value)
    attempt.metrics.unconfirmedBytes.set(serverEnd > confirmed ? serverEnd.value - confirmed.value : 0)
  }
}
