import EventStore
import Events
import Reactor
import Synchronization

/// Hands the newest events of the log to everybody in the process who waits for them: sockets, streams, watches.
///
/// It keeps nothing but what lies in the inboxes, each of which is bounded. Whoever falls behind reads the log.
public final class EventHub: Sendable {
  /// What an inbox is for.
  enum Selection: Sendable {
    /// The events of one stream.
    case stream(StreamID)
    /// Those that a test accepts. It runs for each event: it must be quick.
    case matching(@Sendable (RecordedEvent) -> Bool)
  }

  private struct State {
    var byStream: [StreamID: [Int: Inbox]] = [:]
    var matching: [Int: (accepts: @Sendable (RecordedEvent) -> Bool, inbox: Inbox)] = [:]
    var count = 0
    var nextNumber = 0
    var isClosed = false
    var isLive = false
    var wake: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())

  public init() {}

  /// An inbox for what comes from now on. Whoever reads the log after this call misses nothing: what the log does not have yet comes
  /// into the inbox, or the inbox says that it has overflown. To be closed.
  func subscribe(_ selection: Selection, on reactor: Reactor) -> Inbox {
    let (inbox, wake) = state.withLock { state in
      let inbox = Inbox(
        number: state.nextNumber, selection: selection, hub: self, bell: Doorbell(on: reactor), on: reactor)
      state.nextNumber += 1
      state.count += 1
      switch selection {
      case .stream(let stream): state.byStream[stream, default: [:]][inbox.number] = inbox
      case .matching(let accepts): state.matching[inbox.number] = (accepts, inbox)
      }
      return (inbox, state.wake)
    }
    wake?()
    return inbox
  }

  func leave(_ inbox: Inbox) {
    state.withLock { state in
      let removed: Bool
      switch inbox.selection {
      case .stream(let stream):
        removed = state.byStream[stream]?.removeValue(forKey: inbox.number) != nil
        if state.byStream[stream]?.isEmpty == true { state.byStream[stream] = nil }
      case .matching: removed = state.matching.removeValue(forKey: inbox.number) != nil
      }
      if removed { state.count -= 1 }
    }
  }

  /// How many inboxes there are.
  var count: Int { state.withLock { $0.count } }
  /// The process stops: every stream ends.
  var isClosed: Bool { state.withLock { $0.isClosed } }

  // MARK: For the reader of the log

  /// - Parameter wake: Called when somebody subscribes.
  func begin(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }

  /// Whether the reader follows the log: an event that is not heard of within moments has not happened.
  var isLive: Bool {
    get { state.withLock { $0.isLive } }
    set { state.withLock { $0.isLive = newValue } }
  }

  /// Hands over events that follow on those before.
  func publish(_ events: [RecordedEvent]) {
    let deliveries = state.withLock { state in
      events.map { event in
        (
          event,
          (state.byStream[event.stream]?.values).map { Array($0) } ?? [],
          state.matching.values.filter { $0.accepts(event) }.map(\.inbox)
        )
      }
    }
    for (event, ofStream, matching) in deliveries {
      for inbox in ofStream { inbox.put(event) }
      for inbox in matching { inbox.put(event) }
    }
  }

  /// Everybody must read the log again: events may have been missed.
  func interrupt() { for inbox in all { inbox.overflow() } }

  func close() {
    state.withLock { $0.isClosed = true }
    for inbox in all { inbox.wake() }
  }

  private var all: [Inbox] {
    state.withLock { state in state.byStream.values.flatMap(\.values) + state.matching.values.map(\.inbox) }
  }
}

/// Events that wait for one reader. One task at a time takes them, on its reactor.
final class Inbox: Sendable {
  /// What may wait, in bytes of data. Beyond it the reader has to read the log.
  static let limit = 64 << 10

  enum Contents: Sendable {
    case events([RecordedEvent])
    /// Some did not fit: the log has them.
    case overflow
    /// Nothing came in time.
    case nothing
    /// The process stops, or the task was cancelled.
    case closed
  }

  private struct State {
    var events: [RecordedEvent] = []
    var bytes = 0
    var hasOverflown = false
    var hasEnded = false
  }
  let number: Int
  let selection: EventHub.Selection
  private let state = Mutex(State())
  private let hub: EventHub
  private let bell: Doorbell
  private let reactor: Reactor

  init(number: Int, selection: EventHub.Selection, hub: EventHub, bell: Doorbell, on reactor: Reactor) {
    (self.number, self.selection, self.hub) = (number, selection, hub)
    (self.bell, self.reactor) = (bell, reactor)
  }

  func put(_ event: RecordedEvent) {
    let size = event.data.count + event.storedMetadata.count + 128
    let wasEmpty = state.withLock { state in
      guard !state.hasOverflown else { return false }
      guard state.bytes + size <= Self.limit else {
        defer { state = State(hasOverflown: true, hasEnded: state.hasEnded) }
        return state.events.isEmpty
      }
      defer {
        state.events.append(event)
        state.bytes += size
      }
      return state.events.isEmpty
    }
    if wasEmpty { wake() }
  }

  func overflow() {
    state.withLock { $0 = State(hasOverflown: true, hasEnded: $0.hasEnded) }
    wake()
  }

  func wake() { reactor.post { [bell] in bell.ring() } }

  /// Waits for events, at most for some time.
  ///
  /// - Parameter isolation: The caller's, on the inbox's reactor.
  func next(within timeout: Duration, isolation: isolated (any Actor)? = #isolation) async -> Contents {
    let deadline = ContinuousClock.now + timeout
    while true {
      if hub.isClosed { return .closed }
      let (events, hasOverflown, hasEnded) = state.withLock { state in
        defer { state = State(hasEnded: state.hasEnded) }
        return (state.events, state.hasOverflown, state.hasEnded)
      }
      if hasEnded { return .closed }
      if hasOverflown { return .overflow }
      if !events.isEmpty { return .events(events) }
      guard .now < deadline else { return .nothing }
      if await bell.wait(timeout: deadline - .now) == .cancelled { return .closed }
    }
  }

  /// Whoever waits is told that it is closed.
  func end() {
    state.withLock { $0.hasEnded = true }
    wake()
  }

  /// Ends it, on its reactor.
  func close() {
    hub.leave(self)
    bell.close()
  }
}
