public import EventStore
public import Events
import Kafka
public import Logging
public import Metrics
public import Postgres
public import Reactor
import Schema

/// What the projections of a process share.
public struct ViewWorld: Sendable {
  public let store: EventStore
  public let pool: PostgresPool
  /// For sessions of its own, to the server itself.
  public let postgres: PostgresOptions
  public let source: ViewSource
  public let aggregates: [any Aggregate.Type]
  public let reactor: Reactor
  public let logger: Logger
  public let metrics: MetricsRegistry

  public init(
    store: EventStore, pool: PostgresPool, postgres: PostgresOptions, source: ViewSource,
    aggregates: [any Aggregate.Type], on reactor: Reactor, logger: Logger, metrics: MetricsRegistry
  ) {
    (self.store, self.pool, self.postgres, self.source, self.aggregates) = (store, pool, postgres, source, aggregates)
    (self.reactor, self.logger, self.metrics) = (reactor, logger.labelled("project"), metrics)
  }

  public var registry: ViewRegistry { ViewRegistry(pool) }

  func history() -> History { History(store, postgres, aggregates: aggregates, on: reactor, logger: logger) }
}

/// Makes a generation of a view from the log, beside the live one, while writes go on: notes Kafka's offsets, folds all streams,
/// closes the gap from Kafka, compares a sample, and activates it in one step. One that was interrupted is resumed.
public struct Rebuild {
  private let view: any View
  private let world: ViewWorld
  private let logger: Logger
  private var registry: ViewRegistry { world.registry }

  static let claim = Query("claim_rebuild", Schema.claimRebuild)
  static let countStreams = Query("count_streams", Schema.countStreams)
  /// Streams that are folded and applied together.
  static let stretch = 2_000
  /// Streams that are compared before a generation is activated.
  static let sample = 500

  public init(_ view: any View, _ world: ViewWorld) {
    (self.view, self.world) = (view, world)
    logger = world.logger.with("view", view.name)
  }

  public struct Progress: Equatable, Sendable {
    public enum Phase: String, Sendable { case reading, catchingUp = "catching-up", comparing, activating, done }

    public let view: String
    public let generation: Int
    public var phase: Phase
    public var streams: Int
    /// Streams that there were at the beginning.
    public let total: Int
    public var events: Int
  }

  /// Another process rebuilds this view.
  public struct Busy: Error, CustomStringConvertible {
    public let view: String
    public var description: String {
      "\(view) is being rebuilt by another process: annals rebuild --status shows how far it is"
    }
  }

  /// The sample differs from history.
  public struct Wrong: Error, CustomStringConvertible {
    public let view: String
    public let generation: Int
    public let difference: String
    public var description: String {
      "generation \(generation) of \(view) differs from history and was not activated: \(difference)"
    }
  }

  /// There is no way back.
  public struct NothingKept: Error, CustomStringConvertible {
    public let view: String
    public let reason: String
    public var description: String { "\(view) cannot be rolled back: \(reason)" }
  }

  /// Builds a generation and activates it.
  ///
  /// - Parameters:
  ///   - reason: Why, for operators.
  ///   - anew: Do not resume one that was interrupted.
  /// - Returns: Its number.
  @discardableResult
  public func run(
    reason: String, anew: Bool = false, _ onProgress: (Progress) -> Void = { _ in }
  ) async throws -> Int {
    try await claimed {
      let generation = try await begin(reason: reason, anew: anew)
      var progress = Progress(
        view: view.name, generation: generation.number, phase: .reading, streams: generation.streams,
        total: try await count(), events: 0)
      logger.notice(
        "Rebuilding the view",
        metadata: ["generation": "\(generation.number)", "reason": generation.reason, "streams": "\(progress.total)"])
      let began = ContinuousClock.now
      do {
        try await read(generation, &progress, onProgress)
        progress.phase = .catchingUp
        onProgress(progress)
        try await catchUp(generation)
        progress.phase = .comparing
        onProgress(progress)
        try await compare(generation)
      } catch let wrong as Wrong {
        try await registry.void(view.name, generation.number, reason: "\(wrong)")
        throw wrong
      }
      progress.phase = .activating
      onProgress(progress)
      try await activate(generation.number)
      progress.phase = .done
      onProgress(progress)
      logger.notice(
        "The view is rebuilt and live",
        metadata: [
          "generation": "\(generation.number)", "streams": "\(progress.streams)", "events": "\(progress.events)",
          "took": "\(ContinuousClock.now - began)",
        ])
      return generation.number
    }
  }

  /// Makes the generation that was live before the live one again, after it has caught up.
  @discardableResult
  public func rollBack() async throws -> Int {
    try await claimed {
      guard let kept = try await registry.generations(of: view.name).last(where: { $0.state == .kept }) else {
        throw NothingKept(view: view.name, reason: "no earlier generation is kept")
      }
      guard case .found = try await view.open(kept.number, expectsEntries: kept.streams > 0) else {
        try await registry.void(view.name, kept.number, reason: "its store was lost")
        throw NothingKept(view: view.name, reason: "the store of generation \(kept.number) was lost")
      }
      try await catchUp(kept)
      try await compare(kept)
      try await activate(kept.number)
      logger.notice("The view is rolled back", metadata: ["generation": "\(kept.number)"])
      return kept.number
    }
  }

  private func claimed<Value>(_ body: () async throws -> Value) async throws -> Value {
    let session = try await PostgresSession.connect(world.postgres, on: world.reactor, logger: logger)
    defer { session.close() }
    guard try await session.query(Self.claim, [.text(view.name)]).first?.get(0, as: Bool.self) == true else {
      throw Busy(view: view.name)
    }
    return try await body()
  }

  private func count() async throws -> Int {
    var count = 0
    for category in view.categories {
      count += try await world.pool.query(Self.countStreams, [.text(category)]).first?.get(0, as: Int.self) ?? 0
    }
    return count
  }

  private func begin(reason: String, anew: Bool) async throws -> Generation {
    let epoch = try await registry.epoch()
    if let earlier = try await registry.generations(of: view.name).first(where: { $0.state == .building }) {
      // Its store may be gone; then there is nothing to resume.
      if !anew, earlier.form == view.form, earlier.epoch == epoch, case .found = try await view.open(earlier.number, expectsEntries: earlier.streams > 0)
      {
        logger.notice(
          "Resuming a rebuild", metadata: ["generation": "\(earlier.number)", "streams": "\(earlier.streams)"])
        return earlier
      }
      try await registry.void(view.name, earlier.number, reason: "begun anew")
    }
    let topics = world.source.categories(of: view).keys.sorted()
    let offsets = try await KafkaAdmin(world.source.kafka).endOffsets(of: topics)
    let generation = try await registry.begin(view, offsets: offsets, reason: reason)
    try await KafkaAdmin(world.source.kafka).setOffsets(
      offsets, of: world.source.group(of: view, generation.number))
    // What an unregistered generation of this number has left is none of history.
    try await view.drop(generation.number)
    _ = try await view.open(generation.number, expectsEntries: false)
    return generation
  }

  /// Folds all streams and applies them.
  private func read(
    _ generation: Generation, _ progress: inout Progress, _ onProgress: (Progress) -> Void
  ) async throws {
    let history = world.history()
    let parking = ParkedChanges(view, world.pool)
    var last = generation.builtTo
    for category in view.categories.sorted() {
      // Streams of earlier categories sort before: they are done.
      if let done = StreamID(last)?.category, done > category { continue }
      if StreamID(last)?.category != category { last = "" }
      while let stretch = try await history.next(
        of: category, after: last, limit: Self.stretch, everyEvent: view.takesEveryEvent)
      {
        try Task.checkCancellation()
        let outcomes = try await retrying { try await view.apply(stretch.changes, to: generation.number) }
        for (change, outcome) in zip(stretch.changes, outcomes) {
          if case .refused(let reason) = outcome { try await parking.park(change, reason: reason) }
        }
        last = stretch.last
        progress.streams += stretch.streams
        progress.events += stretch.events
        try await registry.record(view.name, generation.number, builtTo: last, streams: progress.streams)
        onProgress(progress)
      }
    }
  }

  /// The store may be away for a while.
  private func retrying<Value>(_ body: () async throws -> Value) async throws -> Value {
    var backoff = Backoff(first: .milliseconds(200), limit: .seconds(10))
    while true {
      do { return try await body() } catch {
        guard backoff.attempts < 30, (error as? any RetriableError)?.isRetriable ?? false else { throw error }
        let delay = backoff.next()
        logger.warning(
          "The store takes no entries now; the rebuild waits", metadata: [.error: "\(error)", .delay: "\(delay)"])
        try await world.reactor.sleep(for: delay)
      }
    }
  }

  /// Applies what was published since the offsets were noted, up to the present end.
  private func catchUp(_ generation: Generation) async throws {
    let admin = KafkaAdmin(world.source.kafka)
    let topics = world.source.categories(of: view).keys.sorted()
    let ends = try await admin.endOffsets(of: topics)
    if generation.state == .building, ends == generation.offsets { return }
    let consumer = try ViewConsumer(
      view, generation, world.source, registry: registry, parking: ParkedChanges(view, world.pool),
      metrics: ViewMetrics(view: view.name, MetricsRegistry()), on: world.reactor, logger: logger)
    do {
      while !consumer.hasReached(ends) { try await consumer.step(timeout: .milliseconds(200)) }
    } catch {
      await consumer.close()
      throw error
    }
    await consumer.close()
  }

  private func compare(_ generation: Generation) async throws {
    guard let view = view as? any ComparableView else { return }
    let report = try await Verifier(world).run([(view, generation.number)], .init(sample: Self.sample))
    if let first = report.differences.first {
      throw Wrong(view: view.name, generation: generation.number, difference: "\(first)")
    }
  }

  private func activate(_ generation: Int) async throws {
    try await registry.activate(view.name, generation)
    try await view.activate(generation)
    for old in try await registry.generations(of: view.name) where old.state == .void && old.number != generation {
      try await view.drop(old.number)
      try await registry.dropped(view.name, old.number)
    }
  }
}
