import Events
import Logging
import Postgres
import Reactor

extension Rebuild {
  /// Folds all streams and applies them.
  func read(
    _ generation: Generation, _ progress: inout Progress, _ onProgress: (Progress) -> Void
  ) async throws {
    // The next stretch is read and folded while the store takes the present one.
    let reader = StretchReader(world)
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
      let (limit, everyEvent) = (self.stretch, view.takesEveryEvent)
      var read = try await reader.next(of: category, after: last, limit: limit, everyEvent: everyEvent)
      while let stretch = read {
        try Task.checkCancellation()
        async let following = reader.next(of: category, after: stretch.last, limit: limit, everyEvent: everyEvent)
        let outcomes = try await apply(stretch, to: generation, store, noted: &noted)
        for (change, outcome) in zip(stretch.changes, outcomes) {
          if case .refused(let reason) = outcome { try await parking.park(change, reason: reason) }
        }
        last = stretch.last
        progress.streams += stretch.streams
        progress.events += stretch.events
        try await registry.record(view.name, generation.number, builtTo: last, streams: progress.streams)
        onProgress(progress)
        read = try await following
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
      let outcomes = try await retrying { try await view.applyInLanes(stretch.changes, to: generation.number) }
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
  func hasAll(of generation: Generation) async throws -> Bool {
    guard await view.store.connection != nil else { return true }
    let noted = try await view.store.noted(in: generation.number).builtTo
    return noted == nil || noted == generation.builtTo
  }

  /// The store may be away for a while.
  func retrying<Value>(_ body: () async throws -> Value) async throws -> Value {
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
}
