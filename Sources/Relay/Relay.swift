import Kafka
public import Logging
public import Metrics
import Postgres
public import Reactor
public import Tracing
import Schema

/// Publishes an outbox, or an application's tables, to Kafka: source → envelopes → producer → confirmation.
///
/// Delivery is at least once, or exactly once if the options ask for it, in the stream's order for each key (G3, G4).
/// An LSN is confirmed to Postgres only after Kafka has acknowledged every message of all transactions committed up to
/// it (G6). Any error ends the attempt. The next attempt starts at the confirmed position, so messages in flight are
/// sent again, in the same order.
public actor Relay {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let options: RelayOptions
  private let logger: Logger
  private let metrics: RelayMetrics
  /// Maximum size of a batch of several messages: as much as the topic accepts that accepts least.
  private var batchBytes = KafkaProducer.defaultBatch
  /// Why the last attempt failed, until a later one is known to work.
  private var unresolved: String?
  /// Since when nobody reads the slot although another relay holds its name; nil: somebody does, or nobody holds it.
  private var idleSince: ContinuousClock.Instant?
  public private(set) var state = RelayState.starting {
    didSet { metrics.state.set(state.number) }
  }

  /// Delivery results of the current attempt's messages.
  private var acknowledgements: Acknowledgements
  private var current: Attempt?
  private var source: (any ChangeSource)?
  private let feed: any FeedReader

  /// - Parameter tracer: Takes the spans of messages; nil: none are recorded.
  public init(
    _ options: RelayOptions, on reactor: Reactor, logger: Logger, metrics: MetricsRegistry, tracer: Tracer? = nil
  ) throws {
    (self.options, self.reactor) = (options, reactor)
    self.logger = logger.labelled("relay")
    self.metrics = RelayMetrics(metrics, tracer: tracer)
    acknowledgements = Acknowledgements(metrics: self.metrics)
    feed = try options.feed.makeReader(options, logger: logger)
  }

  /// Reason why the relay makes no progress; nil while it makes progress, is idle or is on standby.
  public var problem: String? {
    switch state {
    case .starting: return unresolved ?? (reading == nil ? "is starting" : acknowledgements.problem)
    case .standby(let holder):
      guard let idleSince, ContinuousClock.now - idleSince > options.standbyPatience else { return nil }
      return "\(holder) holds the name of this relay, and nobody has read slot \(options.slot) for "
        + "\((ContinuousClock.now - idleSince).components.seconds) s. If its host is gone, end it: select pg_terminate_backend(pid)"
    case .failing(let reason): return reason
    case .streaming: return unresolved ?? acknowledgements.problem
    }
  }

  /// Description of the table read that is in progress (snapshot or catch-up); nil: none.
  public var reading: String? { current?.reading }

  /// Relays until the task is cancelled.
  public func run() async {
    // Nonisolated async calls also resume on this reactor. Without the preference, each wait would go through the
    // global executor.
    await withTaskExecutorPreference(reactor) { await relay() }
  }

  private func relay() async {
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    while !Task.isCancelled {
      do {
        try await attempt {
          backoff.reset()
          unresolved = nil
        }
      } catch is CancellationError {
        return
      } catch PostgresError.cancelled {
        return
      } catch let smaller as KafkaSink.SmallerBatches {
        logger.notice("Smaller batches from now on", metadata: ["topic": smaller.topic, "bytes": "\(smaller.bytes)"])
        batchBytes = smaller.bytes
      } catch {
        let delay = backoff.next()
        if let holder = Self.holder(error) {
          if !state.isStandby {
            logger.notice(
              "Another relay is active; waiting on standby", metadata: ["slot": options.slot, "holder": holder])
          }
          state = .standby(holder: holder)
        } else {
          state = .failing(reason: "\(error)")
          unresolved = "\(error)"
          metrics.countError(error)
          logger.error(
            "The relay failed and will restart after a delay",
            metadata: [.error: "\(error)", .attempt: "\(backoff.attempts)", .delay: "\(delay)"])
        }
        do { try await reactor.sleep(for: delay) } catch { return }
      }
    }
  }

  /// Who keeps this relay from working: the relay that holds the name, or whoever reads the slot (object_in_use); nil: nobody.
  private static func holder(_ error: any Error) -> String? {
    if case ReplicationError.held(_, let holder) = error { return holder }
    if case PostgresError.server(let server) = error, server.sqlState == "55006" { return server.message }
    return nil
  }

  /// - Parameter onProgress: Called once this attempt is one that works: it has confirmed something, or lasts.
  private func attempt(_ onProgress: () -> Void) async throws {
    let began = ContinuousClock.now
    if !state.isStandby { state = .starting }
    let session = try await PostgresSession.connect(options.postgres, on: reactor, logger: logger)
    defer { session.close() }
    if !options.isLooking { try await claim(session) }
    idleSince = nil
    let attempt = try await makeAttempt(session)
    let source = try feed.source(for: attempt)
    (current, self.source) = (attempt, source)
    defer {
      (current, self.source) = (nil, nil)
      // What a relay shows that does not work: nothing.
      metrics.inFlight.set(0)
      metrics.lagSeconds.set(0)
    }
    do {
      try await source.run { hasConfirmed in
        if state != .streaming { state = .streaming }
        if hasConfirmed || ContinuousClock.now - began > .seconds(10) { onProgress() }
      }
    } catch {
      // A cancelled task can no longer await I/O, so a new task shuts the attempt down gracefully.
      if Task.isCancelled { await Task(executorPreference: reactor) { await self.finish() }.value }
      source.close()
      await attempt.delivery.close()
      throw error
    }
  }

  /// Locks the relay's name, or its shard, for this session.
  private func claim(_ session: PostgresSession) async throws {
    switch options.source {
    case .wal:
      guard try await RelayName.claim(options.slot, session) else { throw try await held(options.slot, session) }
    case .table(let shard, _):
      guard try await RelayName.claim(options.slot, shard: shard, session) else {
        throw try await held("\(options.slot)/\(shard)", session)
      }
    }
  }

  private static let holderQuery = Query("relay_holder", Schema.relayHolder)

  /// Says who holds the name, and notes since when nobody reads its slot.
  private func held(_ name: String, _ session: PostgresSession) async throws -> ReplicationError {
    let row = try await session.query(Self.holderQuery, [.text(name)]).first
    let isRead = try row?.get(1, as: Bool.self) ?? true
    idleSince = isRead || options.source != .wal ? nil : idleSince ?? .now
    return .held(name, by: try row?.get(0) ?? "another session")
  }

  private func makeAttempt(_ session: PostgresSession) async throws -> Attempt {
    let names = try await session.execute(
      """
      select current_database(), system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
      from pg_control_system()
      """, name: "asking for the cluster's name")
    guard let row = names.first, row.count == 2, let database = row[0], let cluster = row[1] else {
      throw ReplicationError.outOfPlace("the database or the cluster has no name")
    }
    let identity = try await feed.identify(over: session)
    // Two relays of one name and different sources must not fence each other in Kafka.
    let owner = identity?.owner ?? "\(cluster.prefix { $0 != "/" })-\(database)"
    let lot = options.isLooking ? nil : try await openLot()
    let acknowledgements = Acknowledgements(after: acknowledgements, metrics: metrics)
    self.acknowledgements = acknowledgements
    let sink: any MessageSink
    do {
      sink = try makeSink(acknowledgements, owner: owner, cluster: identity.map { "\(cluster)/\($0.epoch)" } ?? cluster)
    } catch {
      lot?.close()
      throw error
    }
    return Attempt(
      options, on: reactor, logger: logger, metrics: metrics, session: session, database: database,
      delivery: Delivery(to: sink, acknowledgements, parking: lot, logger: logger, metrics: metrics))
  }

  /// Opens a separate session for parking: the main one may be running a COPY when a message has to be parked.
  private func openLot() async throws -> ParkingLot? {
    let session = try await PostgresSession.connect(options.postgres, on: reactor, logger: logger)
    let lot: ParkingLot?
    do { lot = try await ParkingLot.open(relay: options.slot, session) } catch {
      session.close()
      throw error
    }
    guard let lot else {
      logger.warning(
        "Any message that Kafka refuses will stop the relay: run annals migrate to create annals.parked_messages"
      )
      session.close()
      return nil
    }
    return lot
  }

  private func makeSink(
    _ acknowledgements: Acknowledgements, owner: String, cluster: String
  ) throws -> any MessageSink {
    let onReports: (DeliveryReports) -> Void = { acknowledgements.take($0) }
    switch options.destination {
    case .kafka:
      func kafka(_ onReports: @escaping (DeliveryReports) -> Void) throws -> KafkaSink {
        try KafkaSink(
          options.kafka, transactionalID: options.delivery == .exactlyOnce ? transactionalID(of: owner) : nil,
          cluster: cluster,
          creation: .init(
            isAllowed: options.createsTopics, partitions: options.partitions, replication: options.replication),
          compression: options.compression,
          maximumBytes: options.maximumInFlight, batchBytes: batchBytes, on: reactor, logger: logger,
          onReports: onReports)
      }
      #if DEBUG
        if let fault = FaultySink.Fault.wanted { return try FaultySink(fault, onReports: onReports, kafka) }
      #endif
      return try kafka(onReports)
    case .print: return PrintingSink(onReports: onReports)
    case .nothing: return DiscardingSink(onReports: onReports)
    }
  }

  /// - Parameter owner: The log's id; for the tables of others the cluster and the database.
  private func transactionalID(of owner: String) -> String {
    // The characters of a topic's name: the topic of positions has the id in its own.
    let name = String(
      "\(options.slot)-\(owner)".map { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) ? $0 : "_" })
    return switch options.source {
    case .wal: "annals-\(name)"
    case .table(let shard, let shards): "annals-\(name)-\(shard)-of-\(shards)"
    }
  }

  /// Waits up to 5 seconds for messages in flight and confirms them, so that the next start does not repeat them.
  private func finish() async {
    guard let attempt = current, let source else { return }
    do {
      if try await attempt.delivery.drain() { try await source.finish() }
    } catch {
      logger.warning(
        "The last acknowledged position could not be confirmed at shutdown; messages may be sent again",
        metadata: [.error: "\(error)"])
    }
  }
}
