import Glibc

/// Threads for what blocks: name lookups, the calls of a library that wait for a broker, files.
///
/// The global executor has no more threads than there are cores, and two calls that wait for a broker that is away would
/// keep everything else in the process from it. Here each call has a thread of its own, up to `maximum`; what comes
/// beyond that waits for one. A thread that has had nothing to do for a while ends.
final class BlockingThreads: @unchecked Sendable {  // unchecked: everything is behind `lock`
  static let shared = BlockingThreads()
  static let maximum = 64
  /// Seconds.
  private static let patience = 10

  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let hasWork = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var work: [() -> Void] = []
  private var threads = 0
  private var idle = 0

  private init() {
    pthread_mutex_init(lock, nil)
    pthread_cond_init(hasWork, nil)
  }

  func run(_ body: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    work.append(body)
    if work.count <= idle { pthread_cond_signal(hasWork) } else { startThread() }
  }

  /// Where the system has no thread left, those that there are go on with the work.
  private func startThread() {
    guard threads < Self.maximum else { return }
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { _ in
        BlockingThreads.shared.turn()
        return nil
      }, nil)
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

  /// The oldest piece of work, waited for a while.
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
