import Domain
import EventStore
import Identifiers
import Reactor
import Synchronization

/// Messages of the newest events: thousands of readers of one document want the same ones at the same moment.
final class MessageCache: Sendable {
  struct Key: Hashable {
    let event: UUID
    /// Readers who may not see the history get another text.
    let tellsActor: Bool
  }

  private struct State {
    var messages: [Key: [DocumentFeed.Message]] = [:]
    var order: [Key] = []
    var signatures: [UUID: Task<Signature?, any Error>] = [:]
  }
  private let state = Mutex(State())

  /// How many events are kept.
  private static let limit = 64

  func messages(_ key: Key) -> [DocumentFeed.Message]? { state.withLock { $0.messages[key] } }

  func keep(_ messages: [DocumentFeed.Message], _ key: Key) {
    state.withLock { state in
      guard state.messages.updateValue(messages, forKey: key) == nil else { return }
      state.order.append(key)
      if state.order.count > Self.limit { state.messages[state.order.removeFirst()] = nil }
    }
  }

  /// Loads a signature, once for all who ask at the same time.
  func signature(
    _ id: UUID, on reactor: Reactor, _ load: @escaping @Sendable () async throws -> Signature?
  ) async throws -> Signature? {
    let task = state.withLock { state in
      if let task = state.signatures[id] { return task }
      let task = Task(executorPreference: reactor) { try await load() }
      state.signatures[id] = task
      return task
    }
    defer { state.withLock { $0.signatures[id] = nil } }
    return try await task.value
  }
}
