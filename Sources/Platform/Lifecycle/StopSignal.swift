import Synchronization

/// A signal, given once, that the process must stop: its services finish what is under way and return.
///
/// It is the first of two phases. A service that has not returned within the grace period is cancelled.
public final class StopSignal: Sendable {
  private struct State {
    var isSignalled = false
    var next = 0
    var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
  }
  private let state = Mutex(State())

  public init() {}

  public var isSignalled: Bool { state.withLock { $0.isSignalled } }

  public func signal() {
    let waiting = state.withLock { state in
      state.isSignalled = true
      defer { state.waiting = [:] }
      return state.waiting.values.map { $0 }
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Returns after the signal, or if the task is cancelled.
  public func wait() async {
    let number = state.withLock { state in
      state.next += 1
      return state.next
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.isSignalled || Task.isCancelled { return true }
          state.waiting[number] = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: number) }?.resume()
    }
  }

  /// Runs a body that ends gracefully when its task is cancelled, and cancels it on the signal.
  public func cancels(_ body: @escaping @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await body() }
      group.addTask { await self.wait() }
      // The first to end is the body, or the wait; then the other one is cancelled.
      try await group.next()
      group.cancelAll()
      try await group.waitForAll()
    }
  }
}
