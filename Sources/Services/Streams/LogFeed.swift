import EventStore
import Events
import Reactor

/// The events of the log, or of one category, from an index on, without a gap.
///
/// One task uses it, on its reactor.
final class LogFeed {
  enum Step: Sendable {
    /// And the last event that was looked at.
    case events([RecordedEvent], StreamCursor?)
    /// The event that was handed over last is not in the log any more.
    case diverged
    case nothing
    case closed
  }

  /// What is wanted; empty: everything.
  struct Filter: Sendable {
    var category = ""
    var types: Set<String> = []

    func accepts(_ event: RecordedEvent) -> Bool {
      (category.isEmpty || event.stream.category == category) && (types.isEmpty || types.contains(event.type))
    }
  }

  private let store: EventStore
  private let filter: Filter
  private let inbox: Inbox
  private var next: LogIndex
  private var readsLog = true
  private var last: StreamCursor?
  private var asksLast = false

  init(_ filter: Filter, from start: LogIndex, store: EventStore, hub: EventHub, on reactor: Reactor) {
    (self.filter, next, self.store) = (filter, start, store)
    inbox = hub.subscribe(.matching { filter.accepts($0) }, on: reactor)
  }

  /// Whoever waits for the next step is told that the feed is closed.
  func wake() { inbox.end() }

  /// On its reactor.
  func close() { inbox.close() }

  func next(within timeout: Duration, isolation: isolated (any Actor)? = #isolation) async throws -> Step {
    if asksLast, let last {
      let found = try await store.readLog(from: LogIndex(last.number), limit: 1).events.first
      guard found?.id == last.event else { return .diverged }
      asksLast = false
    }
    if readsLog {
      let page =
        try await filter.category.isEmpty
        ? store.readLog(from: next) : store.readCategory(filter.category, from: next)
      readsLog = page.hasMore
      if let event = page.events.last, let index = event.index {
        (next, last) = (index.next, StreamCursor(index.value, event.id))
        return .events(page.events.filter { filter.accepts($0) }, last)
      }
    }
    switch await inbox.next(within: timeout) {
    case .closed: return .closed
    case .nothing: return .nothing
    case .overflow:
      (readsLog, asksLast) = (true, true)
      return .events([], nil)
    case .events(let events):
      let new = events.filter { ($0.index ?? next) >= next }
      if let event = new.last, let index = event.index {
        (next, last) = (index.next, StreamCursor(index.value, event.id))
      }
      return .events(new, last)
    }
  }
}
