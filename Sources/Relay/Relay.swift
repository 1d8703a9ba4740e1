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
  private let encoder: ChangeEventEncoder
  public private(set) var state = RelayState.starting {
    didSet { metrics.state.set(state.number) }
  }

  // The present attempt.
  private var tracker = ConfirmationTracker()
  private var layouts: [UInt32: OutboxLayout] = [:]
  private var topics: [String: String] = [:]
  private var open: OpenTransaction?
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

  public init(_ options: RelayOptions, on reactor: Reactor, logger: Logger, metrics: MetricsRegistry) {
    (self.options, self.reactor) = (options, reactor)
    self.logger = logger.labelled("relay")
    self.metrics = RelayMetrics(metrics)
    encoder = ChangeEventEncoder(version: options.version)
  }

  /// Relays until the task is cancelled.
  public func run() async {
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
        if case PostgresError.server(let server) = error, server.sqlState == "55006" {
          // object_in_use: the slot is the fence between relays.
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

  private func attempt(_ streaming: () -> Void) async throws {
    if state != .standby { state = .starting }
    forgetLastAttempt()
    let publisher = try Publisher(
      options.kafka, partitions: options.partitions, compression: options.compression,
      maximumBytes: options.maximumInFlight, on: reactor, logger: logger,
      onReports: { reports in self.assumeIsolated { $0.take(reports) } })
    do {
      try await prepare(publisher)
      try await stream(to: publisher, streaming)
    } catch {
      await publisher.close()
      throw error
    }
  }

  private func forgetLastAttempt() {
    tracker = ConfirmationTracker()
    layouts = [:]
    open = nil
    lastCommit = nil
    deliveryFailure = nil
    wantsReply = false
  }

  /// Makes publication and slot where they are missing. A new slot sees only what is committed after it: what the
  /// outbox holds by then is published from the table first. The slot counts as ready once all of that is acknowledged;
  /// one that is not ready, lost or gone is made anew, and the outbox is read again.
  private func prepare(_ publisher: Publisher) async throws {
    let session = try await PostgresSession.connect(options.postgres, on: reactor, logger: logger)
    defer { session.close() }
    let slot = ReplicationSlot(name: options.slot, publication: options.publication)
    try await slot.createPublicationIfMissing(session, logger: logger)
    database = try await session.execute("select current_database()").first?.first.flatMap { $0 } ?? ""
    let known = try await SlotState.read(options.slot, session)
    if try await slot.isReady(session), let known, known.walStatus != "lost" {
      tracker = ConfirmationTracker(confirmed: known.confirmed ?? .zero)
      return
    }
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
    let count = try await publishBacklog(session, start: start, to: publisher)
    try await session.execute("commit", name: "commit")
    try await slot.recordReady(session, start: start)
    logger.notice("Outbox published from the table", metadata: [.count: "\(count)"])
  }

  /// Publishes every row that the session's snapshot sees and waits until all of them are acknowledged.
  private func publishBacklog(
    _ session: PostgresSession, start: LogSequenceNumber, to publisher: Publisher
  ) async throws -> Int {
    let layout = try OutboxLayout(OutboxBacklog.relation)
    let number = tracker.begin()
    var backlog = OutboxBacklog()
    var batch = MessageBatch()
    var count = 0
    var failure: (any Error)?
    func send() async throws {
      if let failure { throw failure }
      let full = batch
      batch = MessageBatch()
      try await publisher.send(full)
      if let deliveryFailure { throw deliveryFailure }
    }
    try await session.copyOut(OutboxBacklog.query, pause: send) { message in
      guard failure == nil else { return }
      do {
        guard let row = try backlog.row(message) else { return }
        count += 1
        let transaction = OpenTransaction(
          number: number, committedAt: row.recordedAt, transaction: UInt32(truncatingIfNeeded: row.transaction))
        publish(try layout.row(row.columns), of: layout, in: transaction, at: start, into: &batch)
      } catch { failure = error }
    }
    try await send()
    tracker.committed(number, end: start)
    while !tracker.isIdle {
      if let deliveryFailure { throw deliveryFailure }
      if let fatal = publisher.fatalError { throw fatal }
      try await publisher.waitForReports()
    }
    return count
  }

  // MARK: Streaming

  private func stream(to publisher: Publisher, _ streaming: () -> Void) async throws {
    let stream = try await ReplicationStream.start(
      slot: options.slot,
      options: [
        ("proto_version", "1"), ("publication_names", quotedIdentifier(options.publication)), ("binary", "true"),
      ],
      connecting: options.postgres, on: reactor, logger: logger)
    defer { stream.close() }
    state = .streaming
    let host = stream.host
    logger.notice("Relaying", metadata: ["slot": options.slot, .host: host])
    var confirmedAt = ContinuousClock.now
    var confirmed = tracker.confirmed
    while true {
      var batch = MessageBatch()
      var failure: (any Error)?
      let timeout = tracker.isIdle && tracker.confirmed == confirmed ? .seconds(5) : options.confirmInterval
      _ = try await stream.receive(timeout: timeout) { message in
        guard failure == nil else { return }
        do { try take(message, into: &batch) } catch { failure = error }
      }
      if let failure { throw failure }
      // What is in the tracker but not sent yet keeps its transaction from being confirmed: `sent` was counted when
      // the message was made.
      try await publisher.send(batch)
      if let deliveryFailure { throw deliveryFailure }
      if let fatal = publisher.fatalError { throw fatal }
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

  private func take(_ message: ReplicationMessage, into batch: inout MessageBatch) throws {
    switch message {
    case .keepalive(let end, let wantsReply):
      serverEnd = max(serverEnd, end)
      tracker.keepalive(end: end)
      if wantsReply { self.wantsReply = true }
    case .data(let start, let payload):
      serverEnd = max(serverEnd, start)
      switch try PgOutputDecoder.decode(payload) {
      case .begin(_, let committedAt, let transaction):
        open = OpenTransaction(number: tracker.begin(), committedAt: committedAt, transaction: transaction)
      case .commit(let lsn, let end, _):
        guard let open else { throw ReplicationError.outOfPlace("a commit without a begin") }
        tracker.committed(open.number, end: end)
        lastCommit = lsn
        self.open = nil
      case .relation(let relation): layouts[relation.id] = try OutboxLayout(relation)
      case .insert(let relation, let tuple):
        guard let open, let layout = layouts[relation] else {
          throw ReplicationError.outOfPlace("a row of an unknown table")
        }
        publish(try layout.row(tuple), of: layout, in: open, at: start, into: &batch)
      case .change: throw ReplicationError.outOfPlace("an update, delete or truncate of the outbox")
      case .other: break
      }
    }
  }

  private func publish(
    _ row: OutboxRow, of layout: OutboxLayout, in open: OpenTransaction, at lsn: LogSequenceNumber,
    into batch: inout MessageBatch
  ) {
    metrics.rows.increment()
    let source = ChangeSource(
      database: database, name: options.name, schema: layout.relation.schema, committedAt: open.committedAt,
      transaction: open.transaction, lsn: lsn, lastCommit: lastCommit)
    let count = batch.messages.count
    batch.append(
      row, topic: topic(for: row.aggregateType), source: source, encoder: encoder, transaction: open.number, at: .now())
    for _ in count..<batch.messages.count { tracker.sent(open.number) }
  }

  private func topic(for aggregate: UnsafeRawBufferPointer) -> String {
    let name = String(decoding: aggregate, as: UTF8.self)
    if let topic = topics[name] { return topic }
    let topic = options.topic.topic(for: name)
    topics[name] = topic
    return topic
  }

  // MARK: Delivery

  private func take(_ reports: [DeliveryReport]) {
    for report in reports {
      if let error = report.error {
        deliveryFailure = deliveryFailure ?? error
      } else {
        // Tokens are transactions, counted from 1: librdkafka's opaque pointer cannot be null.
        tracker.acknowledged(report.token - 1)
        metrics.delivered.increment()
      }
    }
  }

  private func measure() {
    metrics.inFlight.set(tracker.inFlight)
    metrics.confirmedLSN.set(tracker.confirmed.value)
    metrics.unconfirmedBytes.set(serverEnd > tracker.confirmed ? serverEnd.value - tracker.confirmed.value : 0)
  }
}
