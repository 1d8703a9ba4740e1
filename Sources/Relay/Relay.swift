import Kafka
public import Logging
public import Metrics
import Postgres
public import Reactor

/// Publishes the outbox to Kafka: source → envelopes → producer → confirmation.
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

  /// What became of the present attempt's messages.
  private var acknowledgements: Acknowledgements
  private var current: Attempt?
  private var source: (any ChangeSource)?
  /// Outlives an attempt: what this process knows need not be found out again.
  private let watermark = Watermark()

  public init(_ options: RelayOptions, on reactor: Reactor, logger: Logger, metrics: MetricsRegistry) throws {
    (self.options, self.reactor) = (options, reactor)
    self.logger = logger.labelled("relay")
    self.metrics = RelayMetrics(metrics)
    acknowledgements = Acknowledgements(refused: [:], metrics: self.metrics)
    _ = try Self.encoder(options, nil, logger: logger)
  }

  private static func encoder(
    _ options: RelayOptions, _ watermark: Watermark?, logger: Logger
  ) throws -> any ChangeEncoder {
    switch options.feed {
    case .outbox(let topic, let name):
      OutboxEncoder(version: options.version, name: name, topic: topic, watermark: watermark)
    case .connector(let connector): try ConnectorEncoder(connector, version: options.version, logger: logger)
    }
  }

  /// Why no progress is made; nil while some is, or nothing is to do.
  public var problem: String? {
    switch state {
    case .starting: reading == nil ? "is starting" : acknowledgements.problem
    case .standby: nil
    case .failing(let reason): reason
    case .streaming: acknowledgements.problem
    }
  }

  /// What is being read before the stream begins.
  public var reading: String? { current?.reading }

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
          metrics.countError(error)
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

  /// - Parameter onProgress: Called whenever the source was read without an error.
  private func attempt(_ onProgress: () -> Void) async throws {
    if state != .standby { state = .starting }
    let session = try await PostgresSession.connect(options.postgres, on: reactor, logger: logger)
    defer { session.close() }
    try await claim(session)
    let attempt = try await makeAttempt(session)
    let source: any ChangeSource =
      switch options.source {
      case .wal: WALSource(attempt)
      case .table(let shard, let shards): TableSource(attempt, shard: shard, of: shards)
      }
    (current, self.source) = (attempt, source)
    defer { (current, self.source) = (nil, nil) }
    do {
      try await source.run {
        if state != .streaming { state = .streaming }
        onProgress()
      }
    } catch {
      // A task that is cancelled waits for nothing any more: another one brings this to an orderly end.
      if Task.isCancelled { await Task(executorPreference: reactor) { await self.finish() }.value }
      source.close()
      await attempt.delivery.close()
      throw error
    }
  }

  /// Takes the relay's name, or its part, for this session.
  private func claim(_ session: PostgresSession) async throws {
    switch options.source {
    case .wal:
      guard try await OutboxTable.claim(options.slot, session) else { throw ReplicationError.held(options.slot) }
    case .table(let shard, _):
      guard try await OutboxTable.claim(options.slot, shard: shard, session) else {
        throw ReplicationError.held("\(options.slot), part \(shard)")
      }
    }
  }

  private func makeAttempt(_ session: PostgresSession) async throws -> Attempt {
    let names = try await session.execute(
      """
      select current_database(), system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
      from pg_control_system()
      """, name: "asking for the cluster's name")
    guard let row = names.first, row.count == 2, let database = row[0], let cluster = row[1] else {
      throw ReplicationError.outOfPlace("a database without a name")
    }
    let lot = try await openLot()
    let acknowledgements = Acknowledgements(refused: acknowledgements.refused, metrics: metrics)
    self.acknowledgements = acknowledgements
    let watermark: Watermark? = if case .outbox = options.feed, options.source == .wal { watermark } else { nil }
    let sink: any MessageSink
    do { sink = try makeSink(acknowledgements, cluster: cluster) } catch {
      lot?.close()
      throw error
    }
    return Attempt(
      options, on: reactor, logger: logger, metrics: metrics, session: session, database: database,
      encoder: try Self.encoder(options, watermark, logger: logger), watermark: watermark,
      delivery: Delivery(to: sink, acknowledgements, parking: lot, logger: logger, metrics: metrics))
  }

  /// Parking has a session of its own: the other one may be in the midst of a COPY when a message has to be parked.
  private func openLot() async throws -> ParkingLot? {
    let session = try await PostgresSession.connect(options.postgres, on: reactor, logger: logger)
    guard let lot = try await ParkingLot.open(relay: options.slot, session) else {
      logger.warning(
        "A message that Kafka refuses will stop this relay: the database has no annals.parked_messages (annals migrate)"
      )
      session.close()
      return nil
    }
    return lot
  }

  private func makeSink(_ acknowledgements: Acknowledgements, cluster: String) throws -> any MessageSink {
    let onReports: (DeliveryReports) -> Void = { acknowledgements.take($0) }
    switch options.destination {
    case .kafka:
      return try KafkaSink(
        options.kafka, transactionalID: options.delivery == .exactlyOnce ? transactionalID : nil,
        cluster: cluster, partitions: options.partitions, compression: options.compression,
        maximumBytes: options.maximumInFlight,
        on: reactor, logger: logger, onReports: onReports)
    case .print: return PrintingSink(onReports: onReports)
    case .nothing: return DiscardingSink(onReports: onReports)
    }
  }

  private var transactionalID: String {
    switch options.source {
    case .wal: "annals-\(options.slot)"
    case .table(let shard, let shards): "annals-\(options.slot)-\(shard)-of-\(shards)"
    }
  }

  /// Waits a while for what is on its way and confirms it, so that the next start sends it no second time.
  private func finish() async {
    guard let attempt = current, let source else { return }
    do {
      if try await attempt.delivery.drain() { try await source.finish() }
    } catch {
      logger.warning("What was acknowledged last is not confirmed", metadata: [.error: "\(error)"])
    }
  }
}
