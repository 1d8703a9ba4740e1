import CUV
import Glibc
public import Logging
public import Metrics
import Synchronization

/// One thread that runs one libuv loop, and Swift jobs between the turns of that loop.
///
/// As a task executor it runs request handlers; as a serial executor it runs the actors that own connections. Calls
/// between them stay on this thread. Code on a reactor must not block: a turn of more than 50 ms is counted and logged
/// with its longest callback.
///
/// Members documented as “on the loop” trap when they are called from another thread. Actors of this reactor may call
/// them freely.
public final class Reactor: TaskExecutor, SerialExecutor, @unchecked Sendable {
  // Unchecked: a mutex guards `inbox`, and `wake` may be signalled from any thread (uv_async_send). Everything else is
  // used on the loop's thread only, or before that thread starts.
  enum Work {
    case job(UnownedJob)
    case body(@Sendable () -> Void)
  }

  public let name: String
  let loop: UnsafeMutablePointer<uv_loop_t>
  private let wake: UnsafeMutablePointer<uv_async_t>
  private struct Inbox {
    var work: [Work] = []
    var isStopped = false
  }
  private let inbox = Mutex(Inbox())
  private var ready: [Work] = []
  private var running: [Work] = []
  private var hooks: [Hook] = []
  private var stopRequested = false
  private let ended = Gate()
  private var turns: TurnMeter

  /// The reactor of the current thread, in a thread-local slot. pthread_self would not do: it is declared const, so the
  /// compiler may reuse its value across a suspension.
  private static let current: pthread_key_t = {
    var key = pthread_key_t()
    precondition(pthread_key_create(&key, nil) == 0, "no thread-local slot is left")
    return key
  }()

  /// Starts the thread.
  public init(name: String, logger: Logger, metrics: MetricsRegistry) {
    self.name = name
    loop = .allocate(capacity: 1)
    wake = .allocate(capacity: 1)
    check(uv_loop_init(loop), "uv_loop_init")
    check(annals_uv_measure_idle_time(loop), "uv_loop_configure")
    check(uv_async_init(loop, wake, { _ in }), "uv_async_init")
    turns = TurnMeter(reactor: name, logger: logger, metrics: metrics)
    start()
  }

  private func start() {
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self).toOpaque()
    let status = pthread_create(
      &thread, nil,
      { context in
        let reactor = Unmanaged<Reactor>.fromOpaque(context!).takeRetainedValue()
        pthread_setspecific(Reactor.current, Unmanaged.passUnretained(reactor).toOpaque())
        reactor.turn()
        reactor.ended.open()
        return nil
      }, context)
    precondition(status == 0, "the thread of reactor \(name) cannot be started: error \(status)")
    pthread_detach(thread)
  }

  deinit {
    loop.deallocate()
    wake.deallocate()
  }

  // MARK: Executor

  public func enqueue(_ job: consuming ExecutorJob) { put(.job(UnownedJob(job))) }

  /// Runs `body` on the loop in a later batch of work. Safe from any thread. Dropped after the shutdown.
  public func post(_ body: @escaping @Sendable () -> Void) { put(.body(body)) }

  private func put(_ work: Work) {
    if isCurrent { return ready.append(work) }
    // Inside the lock: after the shutdown `wake` is closed, and libuv ends the process if it is signalled then.
    inbox.withLock {
      guard !$0.isStopped else { return }
      $0.work.append(work)
      uv_async_send(wake)
    }
  }

  public var isCurrent: Bool {
    pthread_getspecific(Self.current) == Unmanaged.passUnretained(self).toOpaque()
  }

  public func checkIsolated() { precondition(isCurrent, "not on the loop of reactor \(name)") }

  public func isIsolatingCurrentContext() -> Bool? { isCurrent }

  /// Runs an asynchronous function on the loop, including the nonisolated functions that it calls.
  public func run<Value: Sendable, Failure: Error>(
    _ body: @Sendable () async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    try await withTaskExecutorPreference(self) { () async throws(Failure) in
      // The preference alone does not switch threads: this closure is nonisolated and stays on its caller's thread.
      // Resuming a continuation from the loop does switch.
      await withCheckedContinuation { continuation in post { continuation.resume() } }
      return try await body()
    }
  }

  /// Runs an asynchronous function on the loop in a task of its own, which is cancelled with the caller's.
  ///
  /// A task keeps the memory of its deepest calls until it ends. Whoever lives long, a socket say, lets others make them.
  public func apart<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
    let task = Task(executorPreference: self) { try await body() }
    return try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  }

  /// Runs a blocking function on a thread of its own and returns its result.
  public static func offLoop<Value: Sendable, Failure: Error>(
    _ call: BlockingCall = .local, _ body: @escaping @Sendable () throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    let result = await withCheckedContinuation { continuation in
      BlockingThreads.run(call) { continuation.resume(returning: Result { () throws(Failure) in try body() }) }
    }
    return try result.get()
  }

  // MARK: Turning

  /// A registration for the end of each turn.
  final class Hook {
    let body: () -> Bool
    var isActive = true
    init(_ body: @escaping () -> Bool) { self.body = body }
  }

  /// Calls `body` on the loop after each batch of jobs, so that the output of all jobs is flushed once. `body` returns
  /// true if work is left that no descriptor will announce; the loop then polls without waiting.
  public func atEndOfTurn(_ body: @escaping () -> Bool) -> EndOfTurn {
    checkIsolated()
    let hook = Hook(body)
    hooks.append(hook)
    return EndOfTurn(hook: hook)
  }

  private func turn() {
    let serial = asUnownedSerialExecutor()
    let task = asUnownedTaskExecutor()
    while !stopRequested {
      var isBusy = false
      // A limit on the batches, so that tasks that keep queueing work do not starve descriptors.
      for _ in 0..<32 {
        inbox.withLock {
          ready.append(contentsOf: $0.work)
          $0.work.removeAll(keepingCapacity: true)
        }
        swap(&ready, &running)
        for work in running {
          switch work {
          case .job(let job): job.runSynchronously(isolatedTo: serial, taskExecutor: task)
          case .body(let body): body()
          }
        }
        running.removeAll(keepingCapacity: true)
        isBusy = false
        for hook in hooks where hook.isActive && hook.body() { isBusy = true }
        if ready.isEmpty { break }
      }
      if hooks.contains(where: { !$0.isActive }) { hooks.removeAll { !$0.isActive } }
      turns.measure(idle: uv_metrics_idle_time(loop))
      uv_run(loop, isBusy || stopRequested || !ready.isEmpty ? UV_RUN_NOWAIT : UV_RUN_ONCE)
    }
    close()
  }

  /// Runs a callback of the loop and records its duration, for the log of a long turn.
  func measured(_ label: StaticString, _ body: () -> Void) {
    let start = uv_hrtime()
    body()
    turns.note(label, nanoseconds: uv_hrtime() - start)
  }

  /// Keeps the current call of uv_run from waiting. uv_run fires timers before it polls, and its poll time-out ignores
  /// jobs that a timer's callback made ready. Callbacks of descriptors run after the poll and do not need this.
  func endWait() { uv_async_send(wake) }

  // MARK: Shutdown

  /// Stops the loop, closes its open handles and waits for the thread to end. Shut down the owners of connections
  /// first: a task that still waits for this loop is never resumed.
  public func shutdown() async {
    post { self.stopRequested = true }
    await ended.wait()
  }

  private func close() {
    inbox.withLock { $0.isStopped = true }
    uv_walk(
      loop,
      { handle, context in
        guard let handle, uv_is_closing(handle) == 0 else { return }
        let reactor = Unmanaged<Reactor>.fromOpaque(context!).takeUnretainedValue()
        if UnsafeMutableRawPointer(handle) == UnsafeMutableRawPointer(reactor.wake) {
          uv_close(handle, nil)
        } else {
          closeLoopHandle(handle)
        }
      }, Unmanaged.passUnretained(self).toOpaque())
    uv_run(loop, UV_RUN_DEFAULT)
    let status = uv_loop_close(loop)
    assert(status == 0, "a handle of reactor \(name) is still open")
  }
}

/// Ends a registration of `Reactor.atEndOfTurn`, on the loop.
public struct EndOfTurn {
  let hook: Reactor.Hook
  public func cancel() { hook.isActive = false }
}

/// Checks the status of a libuv call that fails only if the process is out of memory or descriptors.
func check(_ status: Int32, _ operation: StaticString) {
  precondition(status >= 0, "\(operation): \(String(cString: uv_strerror(status)))")
}

/// Closes a handle whose `data` is a retained object, and frees both after libuv has closed it.
func closeLoopHandle(_ handle: UnsafeMutablePointer<uv_handle_t>) {
  guard uv_is_closing(handle) == 0 else { return }
  uv_close(handle) { handle in
    Unmanaged<AnyObject>.fromOpaque(handle!.pointee.data).release()
    UnsafeMutableRawPointer(handle!).deallocate()
  }
}

/// A gate that opens once: it resumes all waiting tasks, and later ones do not wait.
final class Gate: Sendable {
  private enum State {
    case closed([CheckedContinuation<Void, Never>])
    case open
  }
  private let state = Mutex(State.closed([]))

  func open() {
    let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      defer { state = .open }
      if case .closed(let waiting) = state { return waiting }
      return []
    }
    for continuation in waiting { continuation.resume() }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        guard case .closed(let waiting) = state else { return true }
        state = .closed(waiting + [continuation])
        return false
      }
      if isOpen { continuation.resume() }
    }
  }
}
