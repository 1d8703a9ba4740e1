public import Events
import Reactor

/// Commands on several aggregates that are carried out in one transaction, all or none (G1).
///
/// It belongs to the closure of `EventStore.together`.
public final class Unit {
  private let store: EventStore
  private(set) var appends: [StreamAppend] = []
  /// Streams that were loaded and had no events.
  private(set) var empty: Set<StreamID> = []

  init(_ store: EventStore) { self.store = store }

  /// The state of an aggregate, from its stream.
  public func load<State: Aggregate>(
    _ id: String, _ type: State.Type = State.self
  ) async throws -> AggregateStore<State>.Loaded {
    try await AggregateStore<State>(store).load(id)
  }

  /// Decides a command. Its events are appended if the stream is still at this version at the end.
  ///
  /// - Parameter loaded: From `load`; nil: a new stream.
  /// - Returns: The state afterwards; nil only if the stream has no events and the command produced none.
  @discardableResult
  public func execute<State: Aggregate>(
    _ command: State.Command, on id: String, _ loaded: AggregateStore<State>.Loaded?, as type: State.Type = State.self
  ) throws -> State? {
    let events = try State.decide(command, loaded?.state)
    guard !events.isEmpty else { return loaded?.state }
    if loaded?.version == StreamVersion.none { empty.insert(State.stream(id)) }
    let version = loaded?.version ?? .none
    let (new, state) = State.newEvents(events, from: loaded?.state, at: version)
    appends.append(StreamAppend(new, to: State.stream(id), expecting: ExpectedVersion(version)))
    return state
  }
}

extension EventStore {
  /// How often commands on several aggregates are decided that lose races.
  static let maximumDecisions = 20

  /// Carries out commands on several aggregates in one transaction. If another writer changes one of the streams meanwhile,
  /// everything is loaded and decided again.
  ///
  /// - Parameters:
  ///   - command: The key, a hash of the request, and the answer from what `body` returned; nil: not kept.
  ///   - body: Loads and decides. It may run several times.
  /// - Throws: What `body` throws; `AppendError`: `versionConflict` if a stream that should be new has events;
  ///   `CommandReplayed` with the first answer if the command was carried out before.
  public func together<Value>(
    metadata: EventMetadata, command: (key: String, request: [UInt8], answer: (Value) -> [UInt8])? = nil,
    _ body: (Unit) async throws -> Value
  ) async throws -> Value {
    var backoff = Backoff(first: .milliseconds(1), limit: .milliseconds(50))
    while true {
      let unit = Unit(self)
      let value = try await body(unit)
      guard !unit.appends.isEmpty || command != nil else { return value }
      do {
        let result = try await append(
          unit.appends, metadata: metadata,
          command: command.map { CommandKey($0.key, request: $0.request, answer: $0.answer(value)) })
        if let answer = result.replayed { throw CommandReplayed(answer: answer) }
        return value
      } catch let error as AppendError {
        switch error {
        case .lostRace: break
        case .versionConflict(_, .exact, _): break
        case .versionConflict(let stream, .noStream, _) where unit.empty.contains(stream): break
        default: throw error
        }
        guard backoff.attempts < Self.maximumDecisions - 1 else { throw error }
        try await Task.sleep(for: backoff.next())
      }
    }
  }
}
