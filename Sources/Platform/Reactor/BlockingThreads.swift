import Glibc

/// What a blocking call may wait for.
public enum BlockingCall: Sendable {
  /// This machine alone: files, hashes, a library that prepares something.
  case local
  /// Another machine: until it answers, or a time-out has passed.
  case remote
}

/// Threads for blocking calls.
///
/// The global executor has only as many threads as there are cores, so a few calls that wait for an unreachable broker
/// would block all other work on it. Here each call has its own thread, up to `maximum` threads; further calls wait in
/// a queue. Calls that wait for other machines have threads of their own: sixty of them, all waiting for a broker that
/// does not answer, must not keep a file from being read or a connection from being opened. An idle thread ends after
/// `patience`.
final class BlockingThreads: @unchecked Sendable {  // unchecked: `lock` guards all state
  private static let local = BlockingThreads(maximum: 64)
  private static let remote = BlockingThreads(maximum: 256)
  private let maximum: Int

  static func run(_ call: BlockingCall, _ body: @escaping @Sendable () -> Void) {
    switch call {
    case .local: local.run(body)
    case .remote: remote.run(body)
    }
  }

  /// Seconds after which an idle thread ends.
  private static let patience = 10

  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let hasWork = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var work: [() -> Void] = []
  private var threads = 0
  private var idle = 0

  private init(maximum: Int) {
    self.maximum = maximum
    pthread_mutex_init(lock, nil)
    pthread_cond_init(hasWork, nil)
  }

  private func run(_ body: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    work.append(body)
    if work.count <= idle { pthread_cond_signal(hasWork) } else { startThread() }
  }

  /// If the system cannot start another thread, the existing threads do the work.
  private func startThread() {
    guard threads < maximum else { return }
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { threads in
        Unmanaged<BlockingThreads>.fromOpaque(threads!).takeUnretainedValue().turn()
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
    precondition(status == 0 || threads > 0, "no thread can be started: error \(status)")
    guard status == 0 else { return }
    threads += 1
    pthread_detach(thread)
  }

  private func turn() {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    while let body = take() {
      pthread_mutex_unlock(lock)
      body()
      pthread_mutex_lock(lock)
    }
    threads -= 1
  }

  /// Takes the oldest piece of work. Waits up to `patience` for one, then returns nil.
  private func take() -> (() -> Void)? {
    if work.isEmpty {
      var deadline = timespec()
      clock_gettime(CLOCK_REALTIME, &deadline)
      deadline.tv_sec += Self.patience
      idle += 1
      while work.isEmpty, pthread_cond_timedwait(hasWork, lock, &deadline) == 0 {}
      idle -= 1
    }
    return work.isEmpty ? nil : work.removeFirst()
  }
}
