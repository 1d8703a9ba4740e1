import Events
import Logging
import Postgres
import Reactor

extension Rebuild {
  /// Folds all streams and applies them. Where the store says how far it is, that counts: after every new connection the reading
  /// goes back to there.
  func read(
    _ generation: Generation, _ progress: inout Progress, _ onProgress: (Progress) -> Void
  ) async throws {
    let store = StoreWatch(view.store, generation)
    var last = generation.builtTo
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(10))
    while true {
      if let place = try await retrying({ try await store.renewed() }) {
        // Without the marker it is another store, or an older one.
        guard try await view.store.isThere(generation.number, expectsEntries: false) else {
          throw StoreLost(store: "what generation \(generation.number) was built of")
        }
        last = place.builtTo ?? last
      }
      do { return try await read(on: &last, generation, store, &progress, onProgress) } catch let error
        as StoreReconnected
      {
        guard backoff.attempts < 30 else { throw error }
        try await world.reactor.sleep(for: backoff.next())
      }
    }
  }

  /// - Parameter last: The last stream that is done.
  private func read(
    on last: inout String, _ generation: Generation, _ store: StoreWatch, _ progress: inout Progress,
    _ onProgress: (Progress) -> Void
  ) async throws {
    // The next stretch is read and folded while the store takes the present one.
    let reader = StretchReader(world)
    let parking = ParkedChanges(view, generation.number, world.pool)
    let (limit, everyEvent) = (stretch, view.takesEveryEvent)
    for category in view.categories.sorted() {
      // Streams of earlier categories sort before: they are done.
      if let done = StreamID(last)?.category, done > category { continue }
      if StreamID(last)?.category != category { last = "" }
      var read = try await reader.next(of: category, after: last, limit: limit, everyEvent: everyEvent)
      while let stretch = read {
        try Task.checkCancellation()
        async let following = reader.next(of: category, after: stretch.last, limit: limit, everyEvent: everyEvent)
        let outcomes = try await retrying { try await view.applyInLanes(stretch.changes, to: generation.number) }
        for (change, outcome) in zip(stretch.changes, outcomes) {
          if case .refused(let reason) = outcome { try await parking.park(change, reason: reason) }
        }
        try await retrying { try await store.note(StorePlace(builtTo: stretch.last, offsets: [:])) }
        last = stretch.last
        progress.streams += stretch.streams
        progress.events += stretch.events
        try await registry.record(view.name, generation.number, builtTo: last, streams: progress.streams)
        onProgress(progress)
        read = try await following
      }
    }
    try await retrying { try await store.note(StorePlace(builtTo: nil, offsets: [:])) }
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
