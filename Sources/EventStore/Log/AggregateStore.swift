public import Events
import Reactor
public import Time

/// Runs the commands of one aggregate type on the event log: load, decide, append, retry, history.
public struct AggregateStore<State: Aggregate>: Sendable {
  /// A state, and the version of the stream up to which it was folded.
  public struct Loaded: Sendable {
    /// nil: the stream has no events.
    public let state: State?
    public let version: StreamVersion
  }

  /// One step of a history: an event, and the states before and after it.
  public struct Step: Sendable {
    public let recorded: RecordedEvent
    public let event: State.Event
    public let before: State?
    public let after: State?
  }

  public let store: EventStore
  private let pageSize: Int
  private let snapshots: SnapshotPolicy<State>?

  /// Maximum number of attempts of one command if other writers append first and the caller expects no version.
  static var maximumTries: Int { 20 }

  /// - Parameters:
  ///   - pageSize: Maximum number of events that are read, and held in memory, at a time.
  ///   - snapshots: When states are kept; nil: never.
  public init(_ store: EventStore, pageSize: Int = EventStore.pageSize, snapshots: SnapshotPolicy<State>? = nil) {
    (self.store, self.pageSize, self.snapshots) = (store, pageSize, snapshots)
  }

  // MARK: Commands

  /// Decides a command for a new stream, without reading the stream, and appends the events.
  ///
  /// - Parameter once: The command's key; nil: it is carried out as often as it is sent.
  /// - Throws: The aggregate's refusal; `AppendError`: `versionConflict` if the stream already has events;
  ///   `CommandReplayed` with the first answer if the command was carried out before.
  public func create(
    _ id: String, _ command: State.Command, metadata: EventMetadata, once: Once<State>? = nil
  ) async throws -> State {
    let events = try State.decide(command, nil)
    let state = try await append(events, to: Loaded(state: nil, version: .none), id, metadata, once)
    guard let state else { throw NothingCreated(stream: State.stream(id)) }
    return state
  }

  /// Loads the state, decides and appends. Retries if another writer appended in between. A command that changes
  /// nothing appends nothing.
  ///
  /// - Parameter expecting: The version that the caller has seen; a conflict is then not retried. nil: any version.
  /// - Returns: The state afterwards; nil only if the stream has no events and the command produced none.
  /// - Throws: The aggregate's refusal; `UnexpectedVersion` if the stream is not, or is no longer, at the expected
  ///   version; `AppendError`, `ReadError`, `EventReadError`.
  public func execute(
    _ command: State.Command, on id: String, expecting: StreamVersion? = nil, metadata: EventMetadata,
    once: Once<State>? = nil
  ) async throws -> State? {
    var backoff = Backoff(first: .milliseconds(1), limit: .milliseconds(50))
    while true {
      let loaded = try await load(id)
      let mismatch = expecting.flatMap { expected in
        expected == loaded.version
          ? nil : UnexpectedVersion(stream: State.stream(id), expected: expected, actual: loaded.version)
      }
      // For a stream without events, `decide` comes first: it throws the aggregate's own refusal.
      if let mismatch, loaded.version != .none { throw mismatch }
      let events = try State.decide(command, loaded.state)
      guard !events.isEmpty else {
        // Sent again later, when it would change something, it is answered alike.
        if once != nil { try await keep(once, loaded.state, metadata) }
        return loaded.state
      }
      if let mismatch { throw mismatch }
      do {
        return try await append(events, to: loaded, id, metadata, once)
      } catch let error as AppendError {
        guard case .versionConflict(let stream, _, let actual) = error else { throw error }
        if let expecting { throw UnexpectedVersion(stream: stream, expected: expecting, actual: actual) }
        guard backoff.attempts < Self.maximumTries - 1 else { throw error }
        try await Task.sleep(for: backoff.next())
      }
    }
  }

  private func keep(_ once: Once<State>?, _ state: State?, _ metadata: EventMetadata) async throws {
    let result = try await store.append([], metadata: metadata, command: once.map { $0.command(state) })
    if let answer = result.replayed { throw CommandReplayed(answer: answer) }
  }

  private func append(
    _ events: [State.Event], to loaded: Loaded, _ id: String, _ metadata: EventMetadata, _ once: Once<State>?
  ) async throws -> State? {
    let (new, state) = State.newEvents(events, from: loaded.state, at: loaded.version)
    let result = try await store.append(
      [StreamAppend(new, to: State.stream(id), expecting: ExpectedVersion(loaded.version))], metadata: metadata,
      command: once.map { $0.command(state) })
    if let answer = result.replayed { throw CommandReplayed(answer: answer) }
    return state
  }

  // MARK: Reading

  /// Loads the current state, or the state at a moment.
  public func load(_ id: String, asOf moment: Moment? = nil) async throws -> Loaded {
    let stream = State.stream(id)
    var state: State?
    var version = StreamVersion.none
    if moment == nil, let snapshots, let kept = try await store.snapshot(of: stream, snapshots) {
      (state, version) = kept
    }
    let first = version
    while true {
      let page = try await store.readBodies(stream, after: version, limit: pageSize)
      for body in page.bodies {
        if let moment, !moment.includes(body) { return Loaded(state: state, version: version) }
        state = State.evolve(state, try State.event(body, of: stream), at: body.version)
        version = body.version
      }
      if page.hasMore { continue }
      if moment == nil, let snapshots, let state, version.value - first.value >= snapshots.interval {
        try await store.keep(state, at: version, of: stream, snapshots)
      }
      return Loaded(state: state, version: version)
    }
  }

  /// The steps of a history, oldest first, one page at a time. A long history is never completely in memory.
  public func history(of id: String) -> History { History(store: self, id: id) }

  /// A history as a sequence of pages.
  public struct History: AsyncSequence, Sendable {
    let store: AggregateStore
    let id: String

    public struct Iterator: AsyncIteratorProtocol, Sendable {
      let store: AggregateStore
      let stream: StreamID
      var state: State?
      var after: StreamVersion? = StreamVersion.none

      /// The next page; nil after the last one. It is never empty.
      public mutating func next() async throws -> [Step]? {
        guard let version = after else { return nil }
        let page = try await store.store.read(stream, after: version, limit: store.pageSize)
        after = page.hasMore ? page.events.last?.version : nil
        var steps: [Step] = []
        steps.reserveCapacity(page.events.count)
        for recorded in page.events {
          let event = try State.event(recorded.body, of: stream)
          let before = state
          state = State.evolve(state, event, at: recorded.version)
          steps.append(Step(recorded: recorded, event: event, before: before, after: state))
        }
        return steps.isEmpty ? nil : steps
      }
    }

    public func makeAsyncIterator() -> Iterator { Iterator(store: store, stream: State.stream(id)) }
  }
}

/// A command that is carried out once, however often it is sent: the first answer is kept under its key.
public struct Once<State: Aggregate>: Sendable {
  let key: String
  let request: [UInt8]
  let answer: @Sendable (State?) -> [UInt8]

  /// - Parameters:
  ///   - request: A hash of what is asked. The same key with another one is refused.
  ///   - answer: The answer, a JSON text, from the state afterwards.
  public init(_ key: String, request: [UInt8], answer: @escaping @Sendable (State?) -> [UInt8]) {
    (self.key, self.request, self.answer) = (key, request, answer)
  }

  func command(_ state: State?) -> CommandKey { CommandKey(key, request: request, answer: answer(state)) }
}

/// The command was carried out before, by another call with its key.
public struct CommandReplayed: Error, Sendable, CustomStringConvertible {
  /// The first call's answer, a JSON text.
  public let answer: [UInt8]
  public var description: String { "the command was carried out before" }
}

/// A moment in a history.
public enum Moment: Equatable, Sendable {
  /// All events up to this version.
  case version(StreamVersion)
  /// All events recorded up to this time.
  case time(Time.Timestamp)

  func includes(_ event: EventBody) -> Bool {
    switch self {
    case .version(let version): event.version <= version
    case .time(let time): event.recordedAt <= time
    }
  }
}

/// The stream is not at the version that the caller expects.
public struct UnexpectedVersion: Error, Equatable, Sendable, CustomStringConvertible {
  public let stream: StreamID
  public let expected: StreamVersion
  public let actual: StreamVersion

  public init(stream: StreamID, expected: StreamVersion, actual: StreamVersion) {
    (self.stream, self.expected, self.actual) = (stream, expected, actual)
  }

  public var description: String {
    "stream \(stream) is at version \(actual), not \(expected): read the stream and decide again"
  }
}

/// A command that should create an aggregate produced no state: an error in the aggregate's `decide` or `evolve`.
struct NothingCreated: Error, CustomStringConvertible {
  let stream: StreamID
  var description: String { "the command for the new stream \(stream) produced no state" }
}
