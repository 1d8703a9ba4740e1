import Kafka
public import Logging
public import Metrics
import Postgres
public import Reactor
import Time

/// Publishes the outbox to Kafka: WAL → envelopes → producer → confirmation.
///
/// At least once, in the stream's order for each key (G3, G4). Nothing is confirmed to Postgres before Kafka has
/// acknowledged it and all that was committed before it (G6). Any error ends the attempt; the next one begins at the
/// confirmed position, so what was on its way is sent again, in the same order.
public actor Relay {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let options: RelayOptions
  private let logger: Logger
  private let metrics: RelayMetrics
  public private(set) var state = RelayState.starting {
    didSet { metrics.state.set(state.number) }
  }

  // The present attempt.
  private var tracker = ConfirmationTracker()
  private var encoder: any ChangeEncoder
  /// A layout that the catalog has to be asked about, and what came behind it.
  private var undescribed: (relation: PgOutputMessage.Relation, rest: [(start: LogSequenceNumber, payload: [UInt8])])?
  private var origin: (name: String, lsn: LogSequenceNumber)?
  private var open: OpenTransaction?
  private var stream: ReplicationStream?
  private var sink: (any MessageSink)?
  /// Exactly once: how far the source has been published, as Kafka has it.
  private var published: LogSequenceNumber?
  /// The end of the last transaction that came.
  private var lastEnd = LogSequenceNumber.zero
  private var session: PostgresSession?
  private var lot: ParkingLot?
  private var table: OutboxTable?
  /// When something was acknowledged last, or nothing waited.
  private var acknowledgedAt = ContinuousClock.now
  /// When the last transaction that came was committed.
  private var committedAt = Timestamp(microseconds: 0)
  /// What has been read from the table and is not recorded yet: the reading's number, where it ended, and what is complete
  /// with it.
  private var readings: [(number: Int, end: OutboxPosition, complete: TransactionID)] = []
  /// Keys of which Kafka refused a message that was on its way: they are parked when they come again.
  private var refusedKeys: [ParkingLot.Key: String] = [:]
  private var lastCommit: LogSequenceNumber?
  private var serverEnd = LogSequenceNumber.zero
  private var deliveryFailure: KafkaError?
  private var database = ""
  private var wantsReply = false

  private struct OpenTransaction {
    let number: Int
    let committedAt: Timestamp
    let transaction: UInt32
  }

  public init(_ options: RelayOptions, on reactor: Reactor, logger: Logger, metrics: MetricsRegistry) throws {
    (self.options, self.reactor) = (options, reactor)
    self.logger = logger.labelled("relay")
    self.metrics = RelayMetrics(metrics)
    encoder = try Self.makeEncoder(options, logger: logger)
  }

  private static func makeEncoder(_ options: RelayOptions, logger: Logger) throws -> any ChangeEncoder {
    switch options.feed {
    case .outbox(let topic, let name): OutboxEncoder(version: options.version, name: name, topic: topic)
    case .connector(let connector): try ConnectorEncoder(connector, version: options.version, logger: logger)
    }
  }

  /// Why no progress is made; nil while some is, or nothing is to do.
  public var problem: String? {
    switch state {
    case .starting: return "is starting"
    case .standby: return nil
    case .failing(let reason): return reason
    case .streaming:
      let silence = ContinuousClock.now - acknowledgedAt
      guard tracker.inFlight > 0, silence > .seconds(10) else { return nil }
      return
        "Kafka has acknowledged nothing for \(silence.components.seconds) s; \(tracker.inFlight) messages wait for it"
    }
  }

  /// Relays until the task is cancelled.
  public func run() async {
    // What has no isolation of its own comes back here too: without a preference, each wait would go round by the global
    // executor.
    await withTaskExecutorPreference(reactor) { await relay() }
  }

  private func relay() async {
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    while !Task.isCancelled {
      do {
        try await attempt { backoff.reset() }
      } catch is CancellationError {
        return
      } catch PostgresError.cancelled {
        return
      } catch {
        let delay = backoff.next()
        if Self.isHeld(error) {
          if state != .standby { logger.notice("Another relay holds the slot", metadata: ["slot": options.slot]) }
          state = .standby
        } else {
          state = .failing(reason: "\(error)")
          metrics.restarts.increment()
          logger.error(
            "The relay begins anew",
            metadata: [.error: "\(error)", .attempt: "\(backoff.attempts)", .delay: "\(delay)"])
        }
        do { try await reactor.sleep(for: delay) } catch { return }
      }
    }
  }

  /// Whether another relay is at work: it has the name, or the slot (object_in_use).
  private static func isHeld(_ error: any Error) -> Bool {
    if case ReplicationError.held = error { return true }
    if case PostgresError.server(let server) = error { return server.sqlState == "55006" }
    return false
  }

  private func attempt(_ streaming: () -> Void) async throws {
    if state != .standby { state = .starting }
    try forgetLastAttempt()
    let sink = try makeSink()
    do {
      let session = try await PostgresSession.connect(options.postgres, on: reactor, logger: logger)
      self.session = session
      self.sink = sink
      database = try await session.execute("select current_database()").first?.first.flatMap { $0 } ?? ""
      switch options.source {
      case .wal:
        guard try await OutboxTable.claim(options.slot, session) else { throw ReplicationError.held(options.slot) }
        try await openLot()
        if let kafka = transactional(sink) { published = try await kafka.beginTransactions() }
        try await prepare(session, sink)
        try await stream(to: sink, streaming)
      case .table(let shard, let shards):
        guard try await OutboxTable.claim(options.slot, shard: shard, session) else {
          throw ReplicationError.held("\(options.slot), part \(shard)")
        }
        try await openLot()
        try await read(OutboxTable(relay: options.slot, shard: shard, of: shards, session), session, sink, streaming)
      }
    } catch {
      // A task that is cancelled waits for nothing any more: another one brings this to an orderly end.
      if Task.isCancelled { await Task(executorPreference: reactor) { await self.drain() }.value }
      stream?.close()
      session?.close()
      lot?.close()
      (stream, session, self.sink, lot, table) = (nil, nil, nil, nil, nil)
      await sink.close()
      throw error
    }
  }

  /// Parking has a session of its own: the other one may be in the midst of a COPY when a message has to be parked.
  private func openLot() async throws {
    let session = try await PostgresSession.connect(options.postgres, on: reactor, logger: logger)
    lot = try await ParkingLot.open(relay: options.slot, session)
    if lot == nil { session.close() }
    metrics.parkedKeys.set(lot?.keys.count ?? 0)
  }

  /// Waits a while for what is on its way and confirms it, so that the next start sends it no second time.
  private func drain() async {
    guard let sink else { return }
    // What was sent in an open transaction is nothing yet.
    if let kafka = transactional(sink), kafka.isInTransaction { return }
    let deadline = ContinuousClock.now + .seconds(5)
    do {
      while sink.inFlight > 0, .now < deadline, deliveryFailure == nil { try await sink.waitForReports() }
      if let stream { try await stream.confirm(tracker.confirmed) }
      if let table { try await record(table) }
    } catch {
      logger.warning("What was acknowledged last is not confirmed", metadata: [.error: "\(error)"])
    }
  }

  private func forgetLastAttempt() throws {
    tracker = ConfirmationTracker()
    encoder = try Self.makeEncoder(options, logger: logger)
    undescribed = nil
    origin = nil
    open = nil
    lastCommit = nil
    deliveryFailure = nil
    wantsReply = false
    readings = []
    (published, lastEnd) = (nil, .zero)
  }

  private var isExactlyOnce: Bool { options.delivery == .exactlyOnce }
  private func transactional(_ sink: any MessageSink) -> KafkaSink? { isExactlyOnce ? sink as? KafkaSink : nil }

  private func makeSink() throws -> any MessageSink {
    let onReports: (DeliveryReports) -> Void = { reports in self.assumeIsolated { $0.take(reports) } }
    switch options.destination {
    case .kafka:
      return try KafkaSink(
        options.kafka, transactionalID: isExactlyOnce ? "annals-\(options.slot)" : nil, partitions: options.partitions,
        compression: options.compression,
        maximumBytes: options.maximumInFlight, on: reactor, logger: logger, onReports: onReports)
    case .print: return PrintingSink(onReports: onReports)
    case .nothing: return DiscardingSink(onReports: onReports)
    }
  }

  /// Makes publication and slot where they are missing, and publishes what the slot will not tell of.
  private func prepare(_ session: PostgresSession, _ sink: any MessageSink) async throws {
    let slot = ReplicationSlot(name: options.slot, publication: options.publication)
    switch options.feed {
    case .outbox: try await prepareOutbox(slot, session, sink)
    case .connector(let connector): try await prepareTables(slot, connector, session, sink)
    }
  }

  /// A new slot sees only what is committed after it: what the outbox holds by then is published from the table first.
  /// The slot counts as ready once all of that is acknowledged; one that is not ready, lost or gone is made anew, and
  /// the outbox is read again.
  private func prepareOutbox(
    _ slot: ReplicationSlot, _ session: PostgresSession, _ sink: any MessageSink
  ) async throws {
    try await slot.createOutboxPublicationIfMissing(session, logger: logger)
    let known = try await SlotState.read(options.slot, session)
    if let known, known.walStatus != "lost" {
      let isReady = try await slot.isReady(session)
      if isReady || isPublished(known) {
        if !isReady { try await slot.recordReady(session, start: known.confirmed ?? .zero) }
        tracker = ConfirmationTracker(confirmed: max(known.confirmed ?? .zero, published ?? .zero))
        return
      }
    }
    // What a relay has published from the table before is not sent again.
    let position = try await OutboxTable.least(options.slot, session) ?? OutboxPosition()
    let start = try await withNewSlot(slot, session) { start in
      let count = try await publishBacklog(session, after: position, start: start, to: sink)
      logger.notice("Outbox published from the table", metadata: [.count: "\(count)"])
    }
    try await slot.recordReady(session, start: start)
    try await OutboxTable.forget(options.slot, session)
  }

  /// Whether Kafka has what came before the slot, in one transaction with the slot's beginning: a relay that ended right
  /// after that could not say so in the database any more.
  private func isPublished(_ slot: SlotState) -> Bool {
    guard let published, let confirmed = slot.confirmed else { return false }
    return published >= confirmed
  }

  /// Makes the slot anew and runs `body` while the session sees exactly what was committed before the slot's start.
  private func withNewSlot(
    _ slot: ReplicationSlot, _ session: PostgresSession, _ body: (LogSequenceNumber) async throws -> Void
  ) async throws -> LogSequenceNumber {
    let replication = try await PostgresSession.connect(
      options.postgres, replication: true, on: reactor, logger: logger)
    defer { replication.close() }
    let (start, snapshot) = try await slot.create(session, over: replication)
    logger.notice("Replication slot created", metadata: ["slot": options.slot, "start": "\(start)"])
    try await session.execute(
      """
      begin isolation level repeatable read;
      set local statement_timeout = 0;
      set transaction snapshot \(quotedLiteral(snapshot));
      """, name: "taking the slot's snapshot")
    try await body(start)
    try await session.execute("commit", name: "commit")
    if let sink, let kafka = transactional(sink) {
      try kafka.beginTransactionIfNeeded()
      try await kafka.commitTransaction(start)
      published = start
    }
    return start
  }

  /// Publishes every row that the session's snapshot sees and waits until all of them are acknowledged.
  private func publishBacklog(
    _ session: PostgresSession, after position: OutboxPosition, start: LogSequenceNumber, to sink: any MessageSink
  ) async throws -> Int {
    guard let encoder = encoder as? OutboxEncoder else { return 0 }
    let layout = try OutboxLayout(OutboxBacklog.relation)
    let number = tracker.begin()
    var backlog = OutboxBacklog()
    var count = 0
    try await copyOut(OutboxBacklog.query(after: position), session, to: sink) { message, batch in
      guard let row = try backlog.row(message) else { return }
      count += 1
      try publish(row, of: layout, number, at: start, by: encoder, into: &batch)
    }
    tracker.committed(number, end: start)
    try await waitUntilAcknowledged(sink)
    return count
  }

  /// Makes the messages of a row that was read from the table, under a snapshot at `lsn`.
  private func publish(
    _ row: OutboxBacklog.Row, of layout: OutboxLayout, _ number: Int, at lsn: LogSequenceNumber,
    by encoder: OutboxEncoder, into batch: inout MessageBatch
  ) throws {
    let context = ChangeContext(
      database: database, number: number, transaction: UInt32(truncatingIfNeeded: row.transaction),
      committedAt: row.recordedAt, lsn: lsn, lastCommit: nil, origin: nil)
    let columns = try layout.row(row.columns)
    // It has no place in the WAL: its position stands for it, apart from all of those.
    counting(number, at: 1 << 63 | UInt64(bitPattern: row.sequence), &batch) { batch in
      encoder.encode(columns, schema: layout.relation.schema, context, into: &batch)
    }
  }

  /// Runs a COPY and sends what `body` makes of its messages.
  private func copyOut(
    _ query: Query, _ session: PostgresSession, to sink: any MessageSink,
    _ body: (UnsafeRawBufferPointer, inout MessageBatch) throws -> Void
  ) async throws {
    var batch = MessageBatch()
    var failure: (any Error)?
    func send() async throws {
      if let failure { throw failure }
      let full = batch
      batch = MessageBatch()
      try await deliver(full, to: sink)
      if let deliveryFailure { throw deliveryFailure }
    }
    try await session.copyOut(query, pause: send) { message in
      guard failure == nil else { return }
      do { try body(message, &batch) } catch { failure = error }
    }
    try await send()
  }

  private func waitUntilAcknowledged(_ sink: any MessageSink) async throws {
    while !tracker.isIdle {
      if let deliveryFailure { throw deliveryFailure }
      if let fatal = sink.fatalError { throw fatal }
      try await sink.waitForReports()
    }
  }

  // MARK: Tables of others

  /// With a snapshot, a slot's first life begins with the tables' rows. Until they are all acknowledged a second slot,
  /// which keeps no WAL, marks the first as unfinished: it is made anew then.
  private func prepareTables(
    _ slot: ReplicationSlot, _ connector: ConnectorOptions, _ session: PostgresSession, _ sink: any MessageSink
  ) async throws {
    try await slot.createPublicationIfMissing(connector, session, logger: logger)
    let known = try await SlotState.read(options.slot, session)
    var isUnfinished = try await SlotState.read(slot.marker, session) != nil
    if let known, isUnfinished, isPublished(known) {
      try await slot.unmark(session)
      isUnfinished = false
    }
    if let known, !isUnfinished {
      guard known.walStatus == "lost" else {
        tracker = ConfirmationTracker(confirmed: max(known.confirmed ?? .zero, published ?? .zero))
        return
      }
      guard connector.snapshotMode == .whenNeeded else { throw ReplicationError.slotLost(options.slot) }
    }
    if connector.snapshotMode.readsTables { try await slot.mark(session) }
    _ = try await withNewSlot(slot, session) { start in
      guard connector.snapshotMode.readsTables else { return }
      let count = try await publishTables(of: slot.publication, session, start: start, to: sink)
      logger.notice("Tables published", metadata: [.count: "\(count)"])
    }
    if connector.snapshotMode.readsTables { try await slot.unmark(session) }
  }

  private func publishTables(
    of publication: String, _ session: PostgresSession, start: LogSequenceNumber, to sink: any MessageSink
  ) async throws -> Int {
    guard let encoder = encoder as? ConnectorEncoder else { return 0 }
    let number = tracker.begin()
    let transaction = try await session.execute("select txid_snapshot_xmax(txid_current_snapshot())")
    let context = ChangeContext(
      database: database, number: number,
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
      try counting(number, at: 1 << 63 | UInt64(count), &batch) { batch in
        try present.row.withTuple {
          try encoder.snapshot($0, of: present.table, marker: marker, context, into: &batch)
        }
      }
      count += 1
      held = nil
    }
    for table in try await TableSnapshot.tables(of: publication, session)
    where encoder.includes(schema: table.schema, table: table.name) {
      let description = try await TableDescription.read(table.id, schema: table.schema, name: table.name, session)
      try encoder.add(TableSnapshot.relation(table, description), description)
      var isFirst = true
      let before = count
      try await copyOut(TableSnapshot.query(description), session, to: sink) { message, batch in
        try release(isLast: false, next: table.id, into: &batch)
        held = (TableSnapshot.Row(message), table.id, isFirst)
        isFirst = false
      }
      logger.info("Table read", metadata: ["table": "\(table.schema).\(table.name)", .count: "\(count - before)"])
    }
    var batch = MessageBatch()
    try release(isLast: true, next: nil, into: &batch)
    try await deliver(batch, to: sink)
    tracker.committed(number, end: start)
    try await waitUntilAcknowledged(sink)
    return count
  }

  /// Asks the catalog about a layout and goes on with what came behind it.
  private func describe(_ session: PostgresSession, into batch: inout MessageBatch) async throws {
    guard let encoder = encoder as? ConnectorEncoder else { return }
    while let (relation, rest) = undescribed {
      undescribed = nil
      let description = try await TableDescription.read(
        relation.id, schema: relation.schema, name: relation.name, session)
      try encoder.add(relation, description)
      for (start, payload) in rest {
        try payload.withUnsafeBytes { try take(.data(start: start, payload: $0), into: &batch) }
      }
    }
  }

  // MARK: The table

  /// Reads the outbox from the table, woken by its writers and, behind that, by the clock.
  private func read(
    _ table: OutboxTable, _ session: PostgresSession, _ sink: any MessageSink, _ streaming: () -> Void
  ) async throws {
    guard let encoder = encoder as? OutboxEncoder else {
      throw ReplicationError.outOfPlace("tables of others, which are read from the WAL alone")
    }
    try await table.begin(logger: logger)
    self.table = table
    await dropSlot(session)
    let bell = Doorbell(on: reactor)
    let listener = try await PostgresConnection.connect(options.postgres, on: reactor, logger: logger)
    defer { bell.close() }
    let layout = try OutboxLayout(OutboxBacklog.relation)
    var position = table.checkpoint
    var nap = Self.shortestNap
    state = .streaming
    logger.notice("Relaying from the table", metadata: ["relay": options.slot])
    do {
      try await listener.listen("annals_outbox") { bell.ring() }
      while true {
        let number = tracker.begin()
        var batch = MessageBatch()
        func send() async throws {
          let full = batch
          batch = MessageBatch()
          try await deliver(full, to: sink)
        }
        let reading = try await table.read(after: position, pause: send) { row, lsn in
          metrics.rows.increment()
          try publish(row, of: layout, number, at: lsn, by: encoder, into: &batch)
        }
        try await send()
        // Readings are counted as the WAL is: the end of each is one more.
        tracker.committed(number, end: LogSequenceNumber(UInt64(number) + 1))
        position = reading.end
        let isWhole = reading.count < OutboxTable.batch
        readings.append((number, position, isWhole ? reading.horizon : TransactionID(0)))
        if let deliveryFailure { throw deliveryFailure }
        if let fatal = sink.fatalError { throw fatal }
        streaming()
        try await record(table)
        measure()
        if let lot, !lot.keys.isEmpty, isWhole { try await review(lot, sink) }
        guard reading.count == 0 else {
          nap = Self.shortestNap
          continue
        }
        // A row that is there and not final yet comes soon: naps begin short.
        let outcome = await bell.wait(timeout: tracker.inFlight > 0 ? min(nap, .milliseconds(50)) : nap)
        if outcome == .cancelled { throw CancellationError() }
        nap = outcome == .rung ? Self.shortestNap : min(nap * 2, .seconds(1))
      }
    } catch {
      await listener.close()
      throw error
    }
  }

  static let shortestNap = Duration.milliseconds(5)

  /// Records in the database what has been acknowledged of the readings.
  private func record(_ table: OutboxTable) async throws {
    var last: (end: OutboxPosition, complete: TransactionID)?
    while let reading = readings.first, UInt64(reading.number) < tracker.confirmed.value {
      last = (reading.end, max(reading.complete, last?.complete ?? TransactionID(0)))
      readings.removeFirst()
    }
    guard let last, last.end != table.checkpoint || last.complete > table.complete else { return }
    try await table.record(last.end, complete: max(last.complete, table.complete))
  }

  /// A slot that is left of the other source would keep WAL for ever: everything that it stands for is in the table.
  private func dropSlot(_ session: PostgresSession) async {
    do {
      guard try await SlotState.read(options.slot, session) != nil else { return }
      try await session.execute(
        "select pg_drop_replication_slot(\(quotedLiteral(options.slot)))", name: "dropping the slot")
      logger.notice("Replication slot dropped: the table is read now", metadata: ["slot": options.slot])
    } catch {
      logger.error(
        "A replication slot is left and keeps WAL: drop it", metadata: ["slot": options.slot, .error: "\(error)"])
    }
  }

  // MARK: Streaming

  private func stream(to sink: any MessageSink, _ streaming: () -> Void) async throws {
    let stream = try await ReplicationStream.start(
      slot: options.slot, from: published ?? .zero, options: pluginOptions, connecting: options.postgres, on: reactor,
      logger: logger)
    (self.stream, self.sink) = (stream, sink)
    state = .streaming
    let host = stream.host
    logger.notice("Relaying", metadata: ["slot": options.slot, .host: host])
    var confirmedAt = ContinuousClock.now
    var confirmed = tracker.confirmed
    let heartbeat: Duration? = if case .connector(let connector) = options.feed { connector.heartbeat } else { nil }
    var heartbeatAt = ContinuousClock.now
    var reviewedAt = ContinuousClock.now
    var examinedAt = ContinuousClock.now - .seconds(10)
    while true {
      var batch = MessageBatch()
      let timeout = tracker.isIdle && tracker.confirmed == confirmed ? .seconds(5) : options.confirmInterval
      let pause = min(timeout, heartbeat ?? timeout, lot?.keys.isEmpty == false ? .seconds(1) : timeout)
      try await gather(from: stream, timeout: pause, into: &batch)
      if undescribed != nil, let session { try await describe(session, into: &batch) }
      if let lot, !lot.keys.isEmpty, ContinuousClock.now - reviewedAt >= .seconds(1) {
        reviewedAt = .now
        try await deliver(batch, to: sink)
        batch = MessageBatch()
        if open == nil { try await review(lot, sink) }
      }
      if let session, ContinuousClock.now - examinedAt >= .seconds(10) {
        examinedAt = .now
        if let slot = try await SlotState.read(options.slot, session) { metrics.retained.set(slot.retained) }
      }
      if let heartbeat, ContinuousClock.now - heartbeatAt >= heartbeat {
        heartbeatAt = .now
        beat(&batch)
      }
      // What is in the tracker but not sent yet keeps its transaction from being confirmed: `sent` was counted when
      // the message was made.
      try await deliver(batch, to: sink)
      if let deliveryFailure { throw deliveryFailure }
      if let fatal = sink.fatalError { throw fatal }
      // A Kafka transaction holds whole transactions of Postgres.
      if let kafka = transactional(sink), open == nil, kafka.isInTransaction {
        try await kafka.commitTransaction(max(lastEnd, published ?? .zero))
        published = max(lastEnd, published ?? .zero)
        if let deliveryFailure { throw deliveryFailure }
      }
      streaming()
      let isDue = ContinuousClock.now - confirmedAt >= options.confirmInterval && tracker.confirmed > confirmed
      if isDue || wantsReply || ContinuousClock.now - confirmedAt >= .seconds(5) {
        wantsReply = false
        confirmed = tracker.confirmed
        confirmedAt = .now
        try await stream.confirm(confirmed)
      }
      measure()
    }
  }

  /// Takes what comes next and, while more is there already, that as well, up to a bound. Large batches cost Kafka less than
  /// many small ones; a message that comes alone waits for nothing.
  private func gather(
    from stream: ReplicationStream, timeout: Duration, into batch: inout MessageBatch
  ) async throws {
    var failure: (any Error)?
    var timeout = timeout
    var deadline: ContinuousClock.Instant?
    while true {
      let hasCome = try await stream.receive(timeout: timeout) { message in
        guard failure == nil else { return }
        do { try take(message, into: &batch) } catch { failure = error }
      }
      if let failure { throw failure }
      let end = deadline ?? .now + (isExactlyOnce ? .milliseconds(20) : .milliseconds(5))
      guard hasCome, undescribed == nil, !wantsReply, batch.byteCount < gatheredBytes, .now < end else { return }
      deadline = end
      timeout = .zero
    }
  }

  /// A transaction costs Kafka several round trips: larger ones then.
  private var gatheredBytes: Int { isExactlyOnce ? 4 << 20 : 256 << 10 }

  private var pluginOptions: [(name: String, value: String)] {
    let common = [("proto_version", "1"), ("publication_names", quotedIdentifier(options.publication))]
    switch options.feed {
    case .outbox: return common + [("binary", "true")]
    // Values come as text: their forms are those of every type there is.
    case .connector: return common + [("messages", "true")]
    }
  }

  /// A heartbeat is a transaction of its own, at the position that is confirmed anyway.
  private func beat(_ batch: inout MessageBatch) {
    guard open == nil, let encoder = encoder as? ConnectorEncoder else { return }
    let number = tracker.begin()
    counting(number, at: tracker.confirmed.value, &batch) { encoder.heartbeat(transaction: number, into: &$0) }
    tracker.committed(number, end: tracker.confirmed)
  }

  private func take(_ message: ReplicationMessage, into batch: inout MessageBatch) throws {
    switch message {
    case .keepalive(let end, let wantsReply):
      serverEnd = max(serverEnd, end)
      tracker.keepalive(end: end)
      if wantsReply { self.wantsReply = true }
    case .data(let start, let payload):
      serverEnd = max(serverEnd, start)
      guard undescribed == nil else {
        undescribed?.rest.append((start, Array(payload)))
        return
      }
      try take(try PgOutputDecoder.decode(payload), at: start, into: &batch)
    }
  }

  private func take(
    _ message: PgOutputMessage, at start: LogSequenceNumber, into batch: inout MessageBatch
  ) throws {
    switch message {
    case .begin(_, let committedAt, let transaction):
      self.committedAt = committedAt
      open = OpenTransaction(number: tracker.begin(), committedAt: committedAt, transaction: transaction)
      origin = nil
    case .origin(let lsn, let name): origin = (name, lsn)
    case .relation(let relation):
      if let encoder = encoder as? ConnectorEncoder, encoder.needsDescription(of: relation) {
        undescribed = (relation, [])
        return
      }
    case .message(false, _, _, _):
      // It belongs to no transaction and is there whatever becomes of the one around it.
      let number = tracker.begin()
      let context = ChangeContext(
        database: database, number: number, transaction: 0, committedAt: .now(), lsn: start, lastCommit: lastCommit,
        origin: nil)
      try counting(number, at: start.value, &batch) { try encoder.encode(message, context, into: &$0) }
      tracker.committed(number, end: start)
      return
    default: break
    }
    guard let open else { throw ReplicationError.outOfPlace("a change without a begin") }
    let context = ChangeContext(
      database: database, number: open.number, transaction: open.transaction, committedAt: open.committedAt, lsn: start,
      lastCommit: lastCommit, origin: origin)
    if case .insert = message { metrics.rows.increment() }
    try counting(open.number, at: start.value, &batch) { try encoder.encode(message, context, into: &$0) }
    if case .commit(let lsn, let end, _) = message {
      tracker.committed(open.number, end: end)
      lastEnd = end
      lastCommit = lsn
      self.open = nil
    }
  }

  /// Counts the messages that `body` adds as sent: their transaction waits for them.
  private func counting(
    _ number: Int, at source: UInt64, _ batch: inout MessageBatch, _ body: (inout MessageBatch) throws -> Void
  ) rethrows {
    batch.begin(source: source)
    let count = batch.messages.count
    try body(&batch)
    for _ in count..<batch.messages.count { tracker.sent(number) }
  }

  // MARK: Delivery

  /// Sends a batch; what cannot be delivered, and what comes behind it with the same key, is parked instead (G7).
  private func deliver(_ batch: MessageBatch, to sink: any MessageSink) async throws {
    if batch.isEmpty { return }
    try transactional(sink)?.beginTransactionIfNeeded()
    let refusals = try await sink.refusals(batch)
    guard !refusals.isEmpty || !refusedKeys.isEmpty || lot?.keys.isEmpty == false else {
      return try await sink.send(batch)
    }
    var kept: [Int] = []
    for (index, message) in batch.messages.enumerated() {
      let key = ParkingLot.Key(topic: batch.topics[message.topic], key: message.key.map(batch.bytes))
      let waits = lot?.contains(key) == true ? "waits behind an earlier message of its key" : nil
      guard let reason = refusals[index] ?? refusedKeys[key] ?? waits else {
        kept.append(index)
        continue
      }
      guard let lot else { throw UndeliverableMessage(topic: key.topic, reason: reason) }
      if !lot.contains(key) {
        logger.error(
          "A key is parked", metadata: ["topic": key.topic, "key": message.key.map(batch.text) ?? "", .error: reason])
      }
      try await lot.park(message, of: batch, key, reason: reason)
      // It is safe: its transaction need not wait for it.
      tracker.acknowledged(message.transaction)
      metrics.parked.increment()
    }
    metrics.parkedKeys.set(lot?.keys.count ?? 0)
    refusedKeys = refusedKeys.filter { lot?.contains($0.key) != true }
    var rest = batch
    rest.keep(kept)
    try await sink.send(rest)
  }

  /// Does what the operator has asked for: sends a key's messages in their order while nothing newer passes.
  private func review(_ lot: ParkingLot, _ sink: any MessageSink) async throws {
    let requested = try await lot.review()
    if !requested.isEmpty { sink.forgetLimits() }
    keys: for key in requested {
      while true {
        let number = tracker.begin()
        let messages = try await lot.messages(of: key, transaction: number)
        for message in messages {
          if let reason = try await sink.refusals(message.batch)[0] {
            try await lot.refused(message.id, reason: reason)
            logger.error("A parked key is refused again", metadata: ["topic": key.topic, .error: reason])
            tracker.committed(number, end: tracker.confirmed)
            continue keys
          }
          tracker.sent(number)
          let kafka = transactional(sink)
          try kafka?.beginTransactionIfNeeded()
          try await sink.send(message.batch)
          while tracker.inFlight > 0 {
            if let deliveryFailure {
              try await lot.refused(message.id, reason: "\(deliveryFailure)")
              throw deliveryFailure
            }
            if let fatal = sink.fatalError { throw fatal }
            try await sink.waitForReports()
          }
          try await kafka?.commitTransaction(max(lastEnd, published ?? .zero))
          try await lot.delivered(message.id)
        }
        tracker.committed(number, end: tracker.confirmed)
        if messages.isEmpty { break }
      }
      logger.notice("A parked key is delivered", metadata: ["topic": key.topic])
    }
    _ = try await lot.review()
    metrics.parkedKeys.set(lot.keys.count)
  }

  /// A message that Kafka will never take, where there is no place to park it.
  struct UndeliverableMessage: Error, CustomStringConvertible {
    let topic: String
    let reason: String
    var description: String {
      "a message for topic \(topic) cannot be delivered: \(reason). Mend that, or let annals migrate make the table that "
        + "such messages are parked in"
    }
  }

  private func take(_ reports: DeliveryReports) {
    // Tokens are transactions, counted from 1: librdkafka's opaque pointer cannot be null.
    if !reports.delivered.isEmpty { acknowledgedAt = .now }
    for token in reports.delivered { tracker.acknowledged(token - 1) }
    metrics.delivered.increment(by: reports.delivered.count)
    for failure in reports.failed {
      deliveryFailure = deliveryFailure ?? failure.error
      // It comes again with the next attempt, which parks it.
      if failure.error.kind == .refused, let topic = failure.topic {
        refusedKeys[ParkingLot.Key(topic: topic, key: failure.key)] = "\(failure.error)"
      }
    }
  }

  private func measure() {
    metrics.inFlight.set(tracker.inFlight)
    if tracker.inFlight == 0 { acknowledgedAt = .now }
    let lag = tracker.isIdle ? 0 : max(0, Timestamp.now().microseconds - committedAt.microseconds)
    metrics.lagSeconds.set(Int(lag / 1_000_000))
    guard table == nil else { return }
    metrics.confirmedLSN.set(tracker.confirmed.value)
    metrics.unconfirmedBytes.set(serverEnd > tracker.confirmed ? serverEnd.value - tracker.confirmed.value : 0)
  }
}
