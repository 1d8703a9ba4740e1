import EventStore
import Events
import Reactor

extension Subscription {
  /// Follows the log until the task is cancelled. After an error and a pause it goes on from its place. On another log, or on one that
  /// has lost its end, it starts again from the beginning.
  ///
  /// - Parameters:
  ///   - failed: Told of each error.
  ///   - reset: Forgets what is known from the log. It is another one now.
  func follow(
    on reactor: Reactor, failed: (any Error) -> Void, reset: () -> Void,
    _ handle: ([RecordedEvent]) async throws -> Void
  ) async {
    var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
    while !Task.isCancelled {
      do {
        try await run { events in
          try await handle(events)
          backoff.reset()
        }
      } catch is CancellationError { return } catch {
        if Task.isCancelled { return }
        failed(error)
        if error is Diverged {
          reset()
          do { try await forget() } catch { failed(error) }
        }
        do { try await reactor.sleep(for: backoff.next()) } catch { return }
      }
    }
  }
}

extension EventStore {
  /// Where the log has the first event of a category; its end if it has none: before, nobody had asked for anything.
  func beginning(of category: StaticString) async throws -> LogIndex {
    let end = try await end()
    let first = try await readCategory("\(category)", from: .start, limit: 1).events.first
    return min(first?.index ?? end, end)
  }
}
