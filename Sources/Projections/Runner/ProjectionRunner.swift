import Events
import Kafka
import Logging
import Metrics
import Postgres
import Schema
import Synchronization
import Reactor

/// Keeps one view up to date: follows its live generation, and builds one where there is none that may be followed: at the first
/// start, after `annals adopt`, for a new form, and when the store or the place in Kafka was lost. No message is skipped.
public actor ProjectionRunner {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let view: any View
  private let world: ViewWorld
  private let logger: Logger
  private nonisolated let metrics: ViewMetrics
  private var registry: ViewRegistry { world.registry }

  /// How often the registry is asked which generation is live.
  static let interval = Duration.seconds(1)
  /// How often the store is looked at.
  static let storeInterval = Duration.seconds(10)

  public init(_ view: any View, _ world: ViewWorld) {
    (self.view, self.world, reactor) = (view, world, world.reactor)
    logger = world.logger.with("view", view.name)
    metrics = ViewMetrics(view: view.name, world.metrics, tracer: world.tracer)
  }

  /// The reason why the view does not follow history; nil if it does.
  public nonisolated var problem: String? { metrics.problem }

  /// Runs until the task is cancelled.
  public func run() async {
    // Nonisolated async calls also resume on this reactor, not on the global executor.
    await withTaskExecutorPreference(reactor) {
      async let building: Void = keepBuilt()
      await keepFollowing()
      await building
    }
  }

  // MARK: Following

  private func keepFollowing() async {
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    while !Task.isCancelled {
      do {
        guard let live = try await registry.live(of: view.name) else {
          if metrics.problem == nil { metrics.problem("no generation is live yet: it is being built") }
          try await reactor.sleep(for: .milliseconds(200))
          continue
        }
        guard live.form <= view.form else {
          metrics.problem(
            "generation \(live.number) is of form \(live.form), which a newer program keeps; this one knows form \(view.form)"
          )
          try await reactor.sleep(for: Self.interval)
          continue
        }
        guard try await registry.isSettled(view.name) else {
          // Whoever built it follows it until it is in its place.
          try await reactor.sleep(for: .milliseconds(50))
          continue
        }
        guard try await isThere(live) else {
          try await lose(live, reason: "its store was lost: it was deleted, or emptied")
          continue
        }
        metrics.generation.set(live.number)
        try await follow(live) { backoff.reset() }
      } catch is CancellationError {
        return
      } catch {
        if Task.isCancelled { return }
        metrics.failures.increment()
        metrics.problem("\(error)")
        let delay = backoff.next()
        logger.warning(
          "The projection failed and will restart after a delay",
          metadata: [.error: "\(error)", .attempt: "\(backoff.attempts)", .delay: "\(delay)"])
        do { try await reactor.sleep(for: delay) } catch { return }
      }
    }
  }

  private func isThere(_ live: Generation) async throws -> Bool {
    try await view.store.isThere(live.number, expectsEntries: live.streams > 0)
  }

  private func lose(_ live: Generation, reason: String) async throws {
    if try await registry.void(view.name, live.number, reason: reason) {
      logger.error(
        "A view has lost what it had; it is built again",
        metadata: ["generation": "\(live.number)", .error: reason])
    }
  }

  /// Drops generations that a store brought back which came back older.
  private func dropReturned(before live: Int) async throws {
    let known = Set(try await registry.generations(of: view.name).map(\.number))
    for number in max(1, live - 3)..<max(1, live) where !known.contains(number) {
      if try await view.store.isThere(number, expectsEntries: false) { try await view.store.drop(number) }
    }
  }

  private static let followGeneration = Query("follow_generation", Schema.followGeneration)

  /// Follows a generation as long as it is the live one.
  private func follow(_ live: Generation, _ progressed: () -> Void) async throws {
    // A session of its own holds the lock of those who write to the generation, and hears of changes.
    let session = try await PostgresConnection.connect(world.postgres, on: reactor, logger: logger)
    let result: Result<Void, any Error>
    do { result = .success(try await follow(live, over: session, progressed)) } catch { result = .failure(error) }
    await session.close()
    switch result {
    case .success: return
    case .failure(let lost as KafkaConsumer.PlaceLost): try await lose(live, reason: "\(lost)")
    case .failure(let lost as StoreLost): try await lose(live, reason: "\(lost)")
    case .failure(let reconnected as StoreReconnected):
      logger.notice("Following begins again where the store is", metadata: [.error: "\(reconnected)"])
      try await dropReturned(before: live.number)
    case .failure(let error): throw error
    }
  }

  private func follow(
    _ followed: Generation, over session: PostgresConnection, _ progressed: () -> Void
  ) async throws {
    var live = followed
    let lock = try await session.query(Self.followGeneration, [.text(view.name), .text("\(live.number)")])
    // Somebody has just ended it.
    guard try lock.first?.get(0, as: Bool.self) == true else { return }
    let news = News()
    try await session.listen(ViewRegistry.channel) { news.come() }
    let parking = ParkedChanges(view, live.number, world.pool)
    let history = world.history()
    let connection = await view.store.connection
    try await parking.repeatSettled(history)
    let consumer = try ViewConsumer(
      view, live, world.source, registry: registry, parking: parking, metrics: metrics, since: connection,
      on: reactor, logger: logger)
    do {
      try await show(live, consumer)
      metrics.problem(nil)
      var askedAt = ContinuousClock.now
      var lookedAt = askedAt
      while true {
        if news.take() || ContinuousClock.now - askedAt >= Self.interval {
          askedAt = .now
          guard let present = try await registry.live(of: view.name), present.number == live.number else { break }
          live = present
          // Without this session nobody waits for what is written here.
          try await session.check()
        }
        try await consumer.step(timeout: .milliseconds(100))
        progressed()
        try await parking.review(history)
        metrics.parked.set(parking.count)
        if ContinuousClock.now - lookedAt >= Self.storeInterval {
          lookedAt = .now
          guard try await isThere(live) else { throw StoreLost(store: "what generation \(live.number) had") }
        }
      }
    } catch {
      await consumer.close()
      throw error
    }
    await consumer.close()
  }

  /// Lets readers see the generation, if a builder died before it could.
  private func show(_ live: Generation, _ consumer: ViewConsumer) async throws {
    let shown = try await view.store.shown()
    if let shown, shown != live.number {
      metrics.problem("readers still see generation \(shown): generation \(live.number) catches up")
      let topics = world.source.categories(of: view).keys.sorted()
      let ends = try await KafkaAdmin(world.source.kafka).endOffsets(of: topics)
      while !consumer.hasReached(ends, alone: false) { try await consumer.step(timeout: .milliseconds(100)) }
      guard try await registry.live(of: view.name)?.number == live.number else { return }
    }
    try await view.store.activate(live.number)
  }

  // MARK: Building

  private func keepBuilt() async {
    var backoff = Backoff(first: .milliseconds(500), limit: .seconds(30))
    while !Task.isCancelled {
      do {
        if let reason = try await reasonToBuild() {
          metrics.rebuilds.increment()
          try await Rebuild(view, world, patience: .zero).run(reason: reason)
          backoff.reset()
        }
        try await reactor.sleep(for: Self.interval)
      } catch is CancellationError {
        return
      } catch let superseded as Superseded {
        logger.notice("A rebuild was given up", metadata: [.error: "\(superseded)"])
      } catch let behind as Rebuild.Behind {
        logger.warning("A rebuild waits", metadata: [.error: "\(behind)"])
        do { try await reactor.sleep(for: backoff.next()) } catch { return }
      } catch is Rebuild.Busy {
        do { try await reactor.sleep(for: Self.interval) } catch { return }
      } catch {
        if Task.isCancelled { return }
        let delay = backoff.next()
        metrics.problem("building it failed: \(error)")
        logger.error(
          "Building a view failed; it is tried again",
          metadata: [.error: "\(error)", .attempt: "\(backoff.attempts)", .delay: "\(delay)"])
        do { try await reactor.sleep(for: delay) } catch { return }
      }
    }
  }

  private func reasonToBuild() async throws -> String? {
    let generations = try await registry.generations(of: view.name)
    // A newer program's, which this one must not void.
    if let building = generations.first(where: { $0.state == .building }) {
      return building.form <= view.form ? building.reason : nil
    }
    guard let live = generations.first(where: { $0.state == .live }) else {
      return generations.last { $0.state == .void }?.reason ?? "the first generation"
    }
    if try await registry.epoch() != live.epoch { return "the log was adopted" }
    return live.form < view.form ? "form \(view.form) instead of \(live.form)" : nil
  }
}

/// Says that something has changed since it was asked last.
private final class News: Sendable {
  private let hasCome = Atomic<Bool>(true)
  func come() { hasCome.store(true, ordering: .relaxed) }
  func take() -> Bool { hasCome.exchange(false, ordering: .relaxed) }
}
