/// Lets one task wait on a loop until it is rung.
///
/// A ring without a waiting task is remembered once; the next wait then returns immediately.
public final class Doorbell: @unchecked Sendable {  // unchecked: all state is touched on the loop only
  public enum Outcome: Sendable { case rung, timedOut, cancelled }

  private let reactor: Reactor
  private var hasRung = false
  private var waiting: CheckedContinuation<Outcome, Never>?
  private var timer: LoopTimer?

  public init(on reactor: Reactor) { self.reactor = reactor }

  /// True while a task waits. On the loop.
  public var isAwaited: Bool { waiting != nil }

  /// Wakes the waiting task. On the loop.
  public func ring() {
    guard waiting != nil else {
      hasRung = true
      return
    }
    finish(.rung)
  }

  /// Waits for a ring, on the loop. Only one task at a time may wait.
  ///
  /// - Parameter isolation: The caller's isolation. The closure below refers to it; otherwise
  ///   `withTaskCancellationHandler` would run that closure on the global executor.
  public func wait(
    timeout: Duration? = nil, isolation: isolated (any Actor)? = #isolation
  ) async -> Outcome {
    reactor.checkIsolated()
    return await withTaskCancellationHandler {
      _ = isolation
      return await withCheckedContinuation { continuation in
        precondition(waiting == nil, "two tasks wait at one doorbell")
        waiting = continuation
        if let timeout { arm(timeout) }
        // The loop may have run since the call: a ring or a cancellation before this line found no task to resume.
        if hasRung {
          hasRung = false
          finish(.rung)
        } else if Task.isCancelled {
          finish(.cancelled)
        }
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

  /// Releases the timer. On the loop, while no task waits.
  public func close() {
    timer?.cancel()
    timer = nil
  }
}
