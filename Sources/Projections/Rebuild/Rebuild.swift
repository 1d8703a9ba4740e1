import EventStore
import Events
import Kafka
import Logging
import Metrics
import Postgres
import Reactor
import Schema

/// Makes a generation of a view from the log, beside the live one, while writes go on: notes Kafka's offsets, folds all streams,
/// closes the gap from Kafka, compares a sample, and activates it in one step. One that was interrupted is resumed.
public struct Rebuild: Sendable {
  private let view: any View
  private let world: ViewWorld
  private let logger: Logger
  private var registry: ViewRegistry { world.registry }

  static let claim = Query("claim_rebuild", Schema.claimRebuild)
  static let countStreams = Query("count_streams", Schema.countStreams)
  /// Streams that are folded and applied together.
  private let stretch: Int
  /// How long another one that is about to end is waited for.
  private let patience: Duration
  /// Streams that are compared before a generation is activated.
  static let sample = 500

  public init(_ view: any View, _ world: ViewWorld, stretch: Int = 2_000, patience: Duration = .seconds(10)) {
    (self.view, self.world, self.stretch, self.patience) = (view, world, stretch, patience)
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
    try await claimed { session in
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
        try await catchUp(generation, session) {
          progress.phase = $0
          onProgress(progress)
        }
      } catch let wrong as Wrong {
        throw try await giveUp(generation, wrong)
      } catch let lost as KafkaConsumer.PlaceLost {
        throw try await giveUp(generation, lost)
      } catch let lost as StoreLost {
        throw try await giveUp(generation, lost)
      }
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

  /// Nobody may resume it: it would fail again.
  private func giveUp<Failure: Error>(_ generation: Generation, _ failure: Failure) async throws -> Failure {
    if generation.state == .building {
      try await registry.void(view.name, generation.number, reason: "\(failure)")
    }
    return failure
  }

  /// Asks for a rebuild: a running projection finds it within a second, and begins it.
  ///
  /// - Returns: The number of the generation.
  public func request(reason: String) async throws -> Int {
    if let earlier = try await registry.generations(of: view.name).first(where: { $0.state == .building }) {
      return earlier.number
    }
    return try await registry.begin(view, offsets: [:], shown: try await view.store.shown(), reason: reason).number
  }

  /// Gives up the generation that is being built, if there is one. Whoever builds it notices at its next step.
  ///
  /// - Returns: Its number; nil: none is being built.
  public func cancel() async throws -> Int? {
    guard let building = try await registry.generations(of: view.name).first(where: { $0.state == .building }) else {
      return nil
    }
    return try await registry.void(view.name, building.number, reason: "cancelled") ? building.number : nil
  }

  /// Makes the generation that was live before the live one again, after it has caught up.
  @discardableResult
  public func rollBack() async throws -> Int {
    try await claimed { session in
      guard let kept = try await registry.generations(of: view.name).last(where: { $0.state == .kept }) else {
        throw NothingKept(view: view.name, reason: "no earlier generation is kept")
      }
      guard try await view.store.isThere(kept.number, expectsEntries: kept.streams > 0) else {
        try await registry.void(view.name, kept.number, reason: "its store was lost")
        throw NothingKept(view: view.name, reason: "the store of generation \(kept.number) was lost")
      }
      try await catchUp(kept, session) { _ in }
      logger.notice("The view is rolled back", metadata: ["generation": "\(kept.number)"])
      return kept.number
    }
  }

  private func claimed<Value>(_ body: (PostgresSession) async throws -> Value) async throws -> Value {
    let session = try await PostgresSession.connect(world.postgres, on: world.reactor, logger: logger)
    defer { session.close() }
    let deadline = ContinuousClock.now + patience
    while try await session.query(Self.claim, [.text(view.name)]).first?.get(0, as: Bool.self) != true {
      guard .now < deadline else { throw Busy(view: view.name) }
      try await world.reactor.sleep(for: .milliseconds(100))
    }
    return try await body(session)
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
    let generations = try await registry.generations(of: view.name)
    // What was never live, and nobody may use, only takes room.
    for old in generations where old.state == .void && old.activatedAt == nil {
      try await view.store.drop(old.number)
      try await registry.dropped(view.name, old.number)
    }
    var wanted: Generation?
    if let earlier = generations.first(where: { $0.state == .building }) {
      guard earlier.form <= view.form else { throw NewerForm(view: view.name, form: earlier.form) }
      let isBegun = !earlier.builtTo.isEmpty
      // Its store may be gone; then there is nothing to resume.
      if isBegun, !anew, earlier.form == view.form, earlier.epoch == epoch,
        try await view.store.isThere(earlier.number, expectsEntries: earlier.streams > 0),
        try await hasAll(of: earlier)
      {
        logger.notice(
          "Resuming a rebuild", metadata: ["generation": "\(earlier.number)", "streams": "\(earlier.streams)"])
        return earlier
      }
      if isBegun || anew {
        try await registry.void(view.name, earlier.number, reason: "begun anew")
        try await view.store.drop(earlier.number)
        try await registry.dropped(view.name, earlier.number)
      } else {
        wanted = earlier
      }
    }
    let topics = world.source.categories(of: view).keys.sorted()
    let admin = KafkaAdmin(world.source.kafka)
    let offsets = try await admin.endOffsets(of: topics)
    try await untilVisible()
    let number: Int
    if let wanted {
      try await registry.setOffsets(offsets, of: view, wanted.number)
      number = wanted.number
    } else {
      let shown = try await view.store.shown()
      number = try await registry.begin(view, offsets: offsets, shown: shown, reason: reason).number
    }
    try await admin.setOffsets(offsets, of: world.source.group(of: view, number))
    // What an unregistered generation of this number has left is none of history.
    try await view.store.drop(number)
    try await view.store.make(number)
    guard let generation = try await registry.generations(of: view.name).first(where: { $0.number == number }) else {
      throw Superseded(view: view.name, generation: number)
    }
    return generation
  }

  private static let transactionNumber = Query("transaction_number", Schema.transactionNumber)
  private static let allEndedBefore = Query("all_ended_before", Schema.allEndedBefore)

  /// Waits until everything that was published by now is visible to whoever reads the log: a commit is in the WAL before its rows can
  /// be seen, with a synchronous standby for as long as that takes (decision 6).
  private func untilVisible() async throws {
    guard let number = try await world.pool.query(Self.transactionNumber).first?.get(0, as: TransactionID.self) else {
      return
    }
    var backoff = Backoff(first: .milliseconds(5), limit: .milliseconds(500))
    while try await world.pool.query(Self.allEndedBefore, [.xid8(number)]).first?.get(0, as: Bool.self) != true {
      try await world.reactor.sleep(for: backoff.next())
    }
  }

  /// A newer program builds a generation.
  public struct NewerForm: Error, CustomStringConvertible {
    public let view: String
    public let form: Int
    public var description: String {
      "a newer program builds \(view) in form \(form): use that program, or give its rebuild up (DELETE /admin/rebuilds/\(view))"
    }
  }

  /// Folds all streams and applies them.
  private func read(
    _ generation: Generation, _ progress: inout Progress, _ onProgress: (Progress) -> Void
  ) async throws {
    let history = world.history()
    let parking = ParkedChanges(view, generation.number, world.pool)
    let store = StoreWatch(view.store, generation)
    // What it has was looked at already; from now on it must not be connected to anew.
    let place = try await store.place()
    guard place.map({ $0.builtTo == nil || $0.builtTo == generation.builtTo }) ?? true else {
      throw StoreLost(store: "what generation \(generation.number) was built of")
    }
    var noted = place?.builtTo
    var last = generation.builtTo
    for category in view.categories.sorted() {
      // Streams of earlier categories sort before: they are done.
      if let done = StreamID(last)?.category, done > category { continue }
      if StreamID(last)?.category != category { last = "" }
      while let stretch = try await history.next(
        of: category, after: last, limit: stretch, everyEvent: view.takesEveryEvent)
      {
        try Task.checkCancellation()
        let outcomes = try await apply(stretch, to: generation, store, noted: &noted)
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
    try await retrying { try await store.note(StorePlace(builtTo: nil, offsets: [:])) }
    try await store.check()
  }

  /// Applies a stretch of streams, and notes in the store that it is there. After a break of the connection once more: the
  /// server may have lost it.
  ///
  /// - Throws: `StoreLost` if it has lost what came before, too.
  private func apply(
    _ stretch: History.Stretch, to generation: Generation, _ store: StoreWatch, noted: inout String?
  ) async throws -> [ViewOutcome] {
    while true {
      let outcomes = try await retrying { try await view.apply(stretch.changes, to: generation.number) }
      do {
        try await store.check()
        try await store.note(StorePlace(builtTo: stretch.last, offsets: [:]))
        noted = stretch.last
        return outcomes
      } catch let error where error is StoreReconnected || (error as? any RetriableError)?.isRetriable ?? false {
        guard let place = try await retrying({ try await store.renewed() }), place.builtTo == noted else {
          throw StoreLost(store: "what generation \(generation.number) was built of")
        }
      }
    }
  }

  /// True if the store has all that was built of a generation so far.
  private func hasAll(of generation: Generation) async throws -> Bool {
    guard await view.store.connection != nil else { return true }
    let noted = try await view.store.noted(in: generation.number).builtTo
    return noted == nil || noted == generation.builtTo
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

  /// Applies what was published since the offsets were noted, compares a sample, and lets the generation take the place of the
  /// live one. Nobody else follows it before.
  private func catchUp(
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
          metrics: ViewMetrics(view: view.name, MetricsRegistry()), on: world.reactor, logger: logger)
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
