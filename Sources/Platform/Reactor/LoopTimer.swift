import CUV
import Synchronization

/// A restartable timer on a loop, with a resolution of milliseconds. It never fires early.
public final class LoopTimer {
  private let reactor: Reactor
  private let label: StaticString
  private let body: () -> Void
  private var handle: UnsafeMutablePointer<uv_timer_t>?

  fileprivate init(on reactor: Reactor, label: StaticString, _ body: @escaping () -> Void) {
    (self.reactor, self.label, self.body) = (reactor, label, body)
    let handle = UnsafeMutablePointer<uv_timer_t>.allocate(capacity: 1)
    check(uv_timer_init(reactor.loop, handle), "uv_timer_init")
    handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    self.handle = handle
  }

  /// Starts or restarts the timer: calls `body` after `delay`, then every `interval` if one is given.
  public func start(after delay: Duration, every interval: Duration? = nil) {
    guard let handle else { return }
    reactor.checkIsolated()
    uv_update_time(reactor.loop)
    // The loop's own clock may be late by a millisecond or more. A timer without delay fires on the next turn.
    let due = delay > .zero ? Self.milliseconds(uv_hrtime() + Self.nanoseconds(delay)) : 0
    let now = uv_now(reactor.loop)
    check(
      uv_timer_start(
        handle,
        { handle in
          let timer = Unmanaged<LoopTimer>.fromOpaque(handle!.pointee.data).takeUnretainedValue()
          timer.reactor.measured(timer.label) { timer.body() }
          timer.reactor.endWait()
        }, due > now ? due - now : 0,
        interval.map { max(1, Self.milliseconds(Self.nanoseconds($0))) } ?? 0),
      "uv_timer_start")
  }

  public func stop() {
    guard let handle else { return }
    uv_timer_stop(handle)
  }

  /// Ends the timer permanently, on the loop. `body` is not called again.
  public func cancel() {
    guard let handle else { return }
    reactor.checkIsolated()
    uv_timer_stop(handle)
    self.handle = nil
    closeLoopHandle(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self))
  }

  private static func nanoseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    return UInt64(min(seconds, 1 << 33)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }

  /// Rounded up: a timer never fires early.
  private static func milliseconds(_ nanoseconds: UInt64) -> UInt64 { (nanoseconds + 999_999) / 1_000_000 }
}

extension Reactor {
  /// Makes a timer that is not started yet.
  public func timer(label: StaticString, _ body: @escaping () -> Void) -> LoopTimer {
    checkIsolated()
    return LoopTimer(on: self, label: label, body)
  }

  /// Suspends the task for `duration`. Throws as soon as the task is cancelled.
  public func sleep(for duration: Duration) async throws(CancellationError) {
    let sleeper = Sleeper()
    let wasCancelled = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard sleeper.wait(continuation) else { return continuation.resume(returning: true) }
        post { self.arm(sleeper, duration) }
      }
    } onCancel: {
      if sleeper.cancel() { post { sleeper.disarm() } }
    }
    if wasCancelled { throw CancellationError() }
  }

  private func arm(_ sleeper: Sleeper, _ duration: Duration) {
    guard sleeper.isWaiting else { return }
    let timer = timer(label: "sleep") {
      sleeper.wake()
      sleeper.disarm()
    }
    sleeper.timer = timer
    timer.start(after: duration)
  }
}

/// One sleep: woken by its timer or by cancellation, whichever comes first.
private final class Sleeper: @unchecked Sendable {  // unchecked: `timer` is touched on the loop only
  private enum State {
    case new
    case waiting(CheckedContinuation<Bool, Never>)
    case done
  }
  private let state = Mutex(State.new)
  var timer: LoopTimer?

  /// Returns false if the task was cancelled before it slept.
  func wait(_ continuation: CheckedContinuation<Bool, Never>) -> Bool {
    state.withLock { state in
      guard case .new = state else { return false }
      state = .waiting(continuation)
      return true
    }
  }

  var isWaiting: Bool {
    state.withLock { if case .waiting = $0 { true } else { false } }
  }

  func wake() { take()?.resume(returning: false) }

  /// Returns true if the task was asleep and is now resumed early.
  func cancel() -> Bool {
    guard let continuation = take() else { return false }
    continuation.resume(returning: true)
    return true
  }

  func disarm() {
    timer?.cancel()
    timer = nil
  }

  private func take() -> CheckedContinuation<Bool, Never>? {
    state.withLock { state in
      defer { state = .done }
      if case .waiting(let continuation) = state { return continuation }
      return nil
    }
  }
}
