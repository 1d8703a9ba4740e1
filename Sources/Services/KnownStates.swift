import Events
import EventStore
import Identifiers
import Synchronization

/// All aggregates of a category that has few of them, in memory, as the log has them, and what is made of them. It reads what is new
/// each time it is asked.
final class KnownStates<State: Aggregate, Value: Sendable>: Sendable {
  /// The effect of an event on the elements of a list.
  enum Change: Sendable {
    case begun(UUID)
    case ended(UUID)
    /// It may want to know where this was.
    case marked(UUID)
    case other
  }

  /// Where in the log a thing began, and where it was marked last.
  struct Place: Sendable {
    let begun: LogIndex
    var marked: LogIndex?
  }

  private struct Known {
    var next = LogIndex.start
    /// The event before it: another one there, or none, and the log has lost its end.
    var last: UUID?
    var states: [String: State] = [:]
    var places: [UUID: Place] = [:]
    var value: Value
    /// The number of resets.
    var generation = 0
  }
  private let known: Mutex<Known>
  private let store: EventStore
  private let change: @Sendable (State.Event) -> Change
  private let make: @Sendable ([State], [UUID: Place]) -> Value

  /// - Parameter make: From all aggregates, and where in the log each of their things is.
  init(
    _ store: EventStore, change: @escaping @Sendable (State.Event) -> Change,
    make: @escaping @Sendable ([State], [UUID: Place]) -> Value
  ) {
    (self.store, self.change, self.make) = (store, change, make)
    known = Mutex(Known(value: make([], [:])))
  }

  /// Reads everything again the next time.
  func reset() { known.withLock { $0 = Known(value: make([], [:]), generation: $0.generation + 1) } }

  func value() async throws -> Value {
    var new = known.withLock { $0 }
    if let last = new.last,
      try await store.readLog(from: LogIndex(new.next.value - 1), limit: 1).events.first?.id != last
    {
      reset()
      new = known.withLock { $0 }
    }
    let before = new.next
    while true {
      let page = try await store.readCategory("\(State.category)", from: new.next)
      for recorded in page.events {
        guard let index = recorded.index else { continue }
        let event = try State.event(recorded.body, of: recorded.stream)
        new.states[recorded.stream.id] = State.evolve(
          new.states[recorded.stream.id], event, at: recorded.version)
        switch change(event) {
        case .begun(let id): new.places[id] = Place(begun: index)
        case .ended(let id): new.places[id] = nil
        case .marked(let id): new.places[id]?.marked = index
        case .other: break
        }
        (new.next, new.last) = (index.next, recorded.id)
      }
      guard page.hasMore else { break }
    }
    guard new.next > before else { return new.value }
    new.value = make(Array(new.states.values), new.places)
    let read = new
    known.withLock { if read.generation == $0.generation, read.next > $0.next { $0 = read } }
    return read.value
  }
}
