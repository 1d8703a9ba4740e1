/// Where one task waits on a loop until something happens.
///
/// A ring that finds nobody waiting is remembered, once; the next wait returns at once.
public final class Doorbell: @unchecked Sendable {  // unchecked: all state is touched on the loop only
  public enum Outcome: Sendable { case rung, timedOut, cancelled }

  private let reactor: Reactor
  private var hasRung = false
  private var waiting: CheckedContinuation<Outcome, Never>?
  private var timer: LoopTimer?

  public init(on reactor: Reactor) { self.reactor = reactor }

  /// Whether a task waits now. On the loop.
  public var isAwaited: Bool { waiting != nil }

  /// Wakes the task that waits. On the loop.
  public func ring() {
    guard waiting != nil else {
      hasRung = true
      return
    }
    finish(.rung)
  }

  /// Waits for a ring, on the loop. Only one task at a time may wait.
  ///
  /// - Parameter isolation: The caller's. Named, and used in the closure below, because a closure that is handed to
  ///   `withTaskCancellationHandler` would otherwise run on the global executor.
  public func wait(
    timeout: Duration? = nil, isolation: isolated (any Actor)? = #isolation
  ) async -> Outcome {
    reactor.checkIsolated()
    if hasRung {
      hasRung = false
      return .rung
    }
    return await withTaskCancellationHandler {
      _ = isolation
      return await withCheckedContinuation { continuation in
        precondition(waiting == nil, "two tasks wait at one doorbell")
        waiting = continuation
        if let timeout { arm(timeout) }
        // A cancellation that came before this line found nobody to wake.
        if Task.isCancelled { finish(.cancelled) }
      }
    } onCancel: {
      reactor.post { self.finish(.cancelled) }
    }
  }

  private func arm(_ timeout: Duration) {
    if timer == nil { timer = reactor.timer(label: "doorbell") { [weak self] in self?.finish(.timedOut) } }
    timer?.start(after: timeout)
  }

  private func finish(_ outcome: Outcome) {
    guard let continuation = waiting else { return }
    waiting = nil
    timer?.stop()
    continuation.resume(returning: outcome)
  }

  /// Gives back the timer. On the loop, with nobody waiting.
  public func close() {
    timer?.cancel()
    timer = nil
  }
}
