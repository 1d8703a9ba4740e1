import Events
import Kafka
import Logging
import Metrics
import Postgres
import Reactor
import Schema

extension Rebuild {
  /// Applies what was published since the offsets were noted, compares a sample, and lets the generation take the place of the
  /// live one. Nobody else follows it before.
  func catchUp(
    _ generation: Generation, _ session: PostgresSession, _ onPhase: (Progress.Phase) -> Void
  ) async throws {
    let gap = Gap(of: generation, view, world, logger)
    do {
      try await reachEnd(gap, since: generation.state == .building ? generation.offsets : nil)
      onPhase(.comparing)
      try await compare(generation) { try await gap.step(timeout: .milliseconds(100)) }
      onPhase(.activating)
      try await activate(generation.number, gap, session)
    } catch {
      await gap.close()
      throw error
    }
    await gap.close()
  }

  /// What has come since a generation was read from the log. Its consumer group is joined when there is something: joining takes
  /// seconds.
  private final class Gap {
    private let generation: Generation
    private let view: any View
    private let world: ViewWorld
    private let logger: Logger
    private var consumer: ViewConsumer?

    init(of generation: Generation, _ view: any View, _ world: ViewWorld, _ logger: Logger) {
      (self.generation, self.view, self.world, self.logger) = (generation, view, world, logger)
    }

    func step(timeout: Duration) async throws {
      let consumer =
        try self.consumer
        ?? ViewConsumer(
          view, generation, world.source, registry: world.registry,
          parking: ParkedChanges(view, generation.number, world.pool),
          metrics: ViewMetrics(view: view.name, MetricsRegistry(), tracer: world.tracer), on: world.reactor,
          logger: logger)
      self.consumer = consumer
      try await consumer.step(timeout: timeout)
    }

    func hasReached(_ ends: [TopicPartition: Int64]) -> Bool { consumer?.hasReached(ends, alone: true) ?? false }
    func close() async { await consumer?.close() }
  }

  /// - Parameter known: Offsets up to which everything is applied already; nil: none.
  private func reachEnd(_ gap: Gap, since known: [TopicPartition: Int64]?) async throws {
    let topics = world.source.categories(of: view).keys.sorted()
    let ends = try await KafkaAdmin(world.source.kafka).endOffsets(of: topics)
    // Nothing was published yet, or nothing since.
    if ends == known || ends.values.allSatisfy({ $0 == 0 }) { return }
    while !gap.hasReached(ends) { try await gap.step(timeout: .milliseconds(100)) }
  }

  /// Compares a sample with history.
  ///
  /// - Throws: `Wrong` if an entry has another content; `Behind` if changes have not come that history has.
  private func compare(_ generation: Generation, whileWaiting: @escaping () async throws -> Void) async throws {
    guard let view = view as? any ComparableView else { return }
    let report = try await Verifier(world).run(
      [(view, generation.number)], .init(sample: Self.sample), whileWaiting: whileWaiting)
    let parked = try await ParkedChanges(view, generation.number, world.pool).parked()
    let differences = report.differences.filter { difference in
      !parked.contains(difference.stream) && !(difference.found.map(view.isExcused) ?? false)
    }
    guard let first = differences.first else { return }
    // The relay may be behind, or stopped.
    if differences.allSatisfy({ $0.kind == .missing || $0.kind == .stale }) {
      throw Behind(view: view.name, difference: "\(first)")
    }
    throw Wrong(view: view.name, generation: generation.number, difference: "\(first)")
  }

  /// Changes that history has were not published yet. The rebuild is resumed.
  public struct Behind: Error, CustomStringConvertible {
    public let view: String
    public let difference: String
    public var description: String {
      "the rebuild of \(view) waits for changes that are not published yet; is a relay running? \(difference)"
    }
  }

  static let handOver = Query("hand_over", Schema.handOver)
  /// How long whoever writes to the generation before may take to stop: a paused process never does.
  static let patienceWithFollowers = Duration.seconds(30)
  static let endGeneration = Query("end_generation", Schema.endGeneration)

  /// The registry says first which generation is live: whoever follows the one before stops. Once nobody writes to it, the new one
  /// catches up with all that readers may have seen, and only then takes its place in the store: no reader sees an older entry
  /// than before.
  private func activate(_ generation: Int, _ gap: Gap, _ session: PostgresSession) async throws {
    guard try await session.query(Self.handOver, [.text(view.name)]).first?.get(0, as: Bool.self) == true else {
      throw Busy(view: view.name)
    }
    let before = try await registry.live(of: view.name)
    try await registry.activate(view.name, generation)
    if let before, before.number != generation {
      let deadline = ContinuousClock.now + Self.patienceWithFollowers
      while try await session.query(
        Self.endGeneration, [.text(view.name), .text("\(before.number)")]
      ).first?.get(0, as: Bool.self) != true {
        guard .now < deadline else {
          logger.warning(
            "Somebody still writes to the generation before; readers may see older entries for a moment",
            metadata: ["generation": "\(before.number)"])
          break
        }
        try await gap.step(timeout: .milliseconds(50))
      }
      try await reachEnd(gap, since: nil)
    }
    try await view.store.activate(generation)
    for old in try await registry.generations(of: view.name) where old.state == .void && old.number != generation {
      try await view.store.drop(old.number)
      try await registry.dropped(view.name, old.number)
    }
  }
}
