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
  let view: any View
  let world: ViewWorld
  let logger: Logger
  var registry: ViewRegistry { world.registry }

  static let claim = Query("claim_rebuild", Schema.claimRebuild)
  static let countStreams = Query("count_streams", Schema.countStreams)
  /// Streams that are folded and applied together.
  let stretch: Int
  /// How long another one that is about to end is waited for.
  let patience: Duration
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
        try await view.store.isThere(earlier.number, expectsEntries: earlier.streams > 0)
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
}
