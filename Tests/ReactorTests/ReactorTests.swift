import Glibc
import Metrics
import Reactor
import Synchronization
import Support
import Testing

@Suite("A reactor", .workLimit(minutes: 5)) struct ReactorTests {
  actor Owner {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
    init(_ reactor: Reactor) { self.reactor = reactor }
    func isOnLoop() -> Bool { reactor.isCurrent }
  }

  @Test("takes posts from other threads while it shuts down: they are dropped, the process goes on")
  func shutdownUnderPosts() async {
    for _ in 0..<400 {
      let reactor = Reactor(name: "test", logger: quietLogger(), metrics: MetricsRegistry())
      let posts = (0..<3).map { _ in
        Task.detached { for _ in 0..<400 { reactor.post {} } }
      }
      await reactor.shutdown()
      for post in posts { await post.value }
    }
  }

  @Test("runs tasks and actors on its thread, before and after they wait")
  func confinement() async throws {
    try await withReactor { reactor in
      #expect(reactor.isCurrent)
      #expect(await Owner(reactor).isOnLoop())
      try await reactor.sleep(for: .milliseconds(2))
      #expect(reactor.isCurrent)
      let blocking = await Reactor.offLoop { reactor.isCurrent }
      #expect(!blocking)
      #expect(reactor.isCurrent)
    }
  }

  @Test("hands work over to another reactor and back")
  func handOver() async throws {
    try await withReactor { first in
      try await withReactor { second in
        #expect(second.isCurrent && !first.isCurrent)
        let there = await Owner(first).isOnLoop()
        #expect(there)
        #expect(second.isCurrent)
      }
    }
  }

  @Test("tells when a descriptor can be read and when it can be written")
  func readiness() async throws {
    try await withReactor { reactor in
      var ends: [Int32] = [0, 0]
      #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
      let heard = Doorbell(on: reactor)
      nonisolated(unsafe) var last: Readiness = []
      let watch = try reactor.watch(ends[0], for: .readable, label: "test") {
        last = $0
        heard.ring()
      }
      #expect(await heard.wait(timeout: .milliseconds(30)) == .timedOut)
      write(ends[1], "x", 1)
      #expect(await heard.wait(timeout: .seconds(5)) == .rung)
      #expect(last == .readable)
      watch.update(.writable)
      _ = await heard.wait(timeout: .seconds(5))
      #expect(await heard.wait(timeout: .seconds(5)) == .rung)
      #expect(last == .writable)
      watch.cancel()
      heard.close()
      close(ends[0])
      close(ends[1])
    }
  }

  @Test("wakes a sleeping task that is cancelled, also one that was cancelled before it slept")
  func cancellation() async throws {
    try await withReactor { reactor in
      for _ in 0..<50 {
        let sleeper = Task(executorPreference: reactor) { try await reactor.sleep(for: .seconds(60)) }
        if Bool.random() { try await reactor.sleep(for: .milliseconds(1)) }
        sleeper.cancel()
        await #expect(throws: CancellationError.self) { try await sleeper.value }
      }
    }
  }

  @Test("a doorbell that is cancelled at any moment lets go")
  func doorbellCancellation() async throws {
    try await withReactor { reactor in
      for _ in 0..<200 {
        let waiter = Task(executorPreference: reactor) {
          let bell = Doorbell(on: reactor)
          return await bell.wait()
        }
        if Bool.random() { await Task.yield() }
        waiter.cancel()
        #expect(await waiter.value == .cancelled)
      }
    }
  }

  @Test("a doorbell that is rung at any moment wakes who waits: no ring is lost")
  func doorbellRings() async throws {
    try await withReactor { reactor in
      let ringer = Reactor(name: "ringer", logger: quietLogger(), metrics: MetricsRegistry())
      for round in 0..<20_000 {
        let bell = Doorbell(on: reactor)
        ringer.post { reactor.post { bell.ring() } }
        for _ in 0..<round % 64 { _ = reactor.isCurrent }
        let outcome = await bell.wait(timeout: .seconds(10))
        bell.close()
        guard outcome == .rung else {
          Issue.record("ring \(round) was lost")
          break
        }
      }
      await ringer.shutdown()
    }
  }

  @Test("fires timers in time and again")
  func timers() async throws {
    try await withReactor { reactor in
      let heard = Doorbell(on: reactor)
      nonisolated(unsafe) var count = 0
      let timer = reactor.timer(label: "test") {
        count += 1
        if count == 3 { heard.ring() }
      }
      let start = ContinuousClock.now
      timer.start(after: .milliseconds(5), every: .milliseconds(5))
      #expect(await heard.wait(timeout: .seconds(5)) == .rung)
      #expect(.now - start >= .milliseconds(15))
      timer.cancel()
      heard.close()
    }
  }

  @Test("hears signals of the process")
  func signals() async throws {
    try await withReactor { reactor in
      let stream = reactor.signals([SIGUSR2])
      try await reactor.sleep(for: .milliseconds(5))
      kill(getpid(), SIGUSR2)
      for await number in stream {
        #expect(number == SIGUSR2)
        break
      }
    }
  }

  @Test("starts child processes and tells how they ended")
  func children() async throws {
    try await withReactor { reactor in
      let failing = try await ChildProcess.start("sh", ["-c", "exit 3"], on: reactor)
      #expect(await failing.wait() == .exited(status: 3))
      let endless = try await ChildProcess.start("sleep", ["600"], on: reactor)
      await endless.signal(SIGKILL)
      #expect(await endless.wait() == .signalled(SIGKILL))
      await #expect(throws: ChildProcess.LaunchError.self) {
        try await ChildProcess.start("no-such-program-here", on: reactor)
      }
    }
  }

  @Test("what blocks keeps nothing else from its thread, however many there are of it")
  func blocking() async throws {
    let gate = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    sem_init(gate, 0, 0)
    nonisolated(unsafe) let shared = gate
    await withTaskGroup(of: Bool.self) { group in
      let count = 32
      for _ in 0..<count {
        group.addTask {
          await Reactor.offLoop {
            var deadline = timespec()
            clock_gettime(CLOCK_REALTIME, &deadline)
            deadline.tv_sec += 2
            return sem_timedwait(shared, &deadline) == 0
          }
        }
      }
      group.addTask {
        await Reactor.offLoop {
          for _ in 0..<count { sem_post(shared) }
          return true
        }
      }
      for await wasReleased in group { #expect(wasReleased) }
    }
    sem_destroy(gate)
    gate.deallocate()
  }

  @Test("calls that wait for other machines, however many, hold up no call of this one")
  func remoteCalls() async throws {
    let gate = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    sem_init(gate, 0, 0)
    nonisolated(unsafe) let shared = gate
    let count = 400
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<count { group.addTask { await Reactor.offLoop(.remote) { _ = sem_wait(shared) } } }
      // With one queue for all, nothing would run this one, and the test would not end.
      await Reactor.offLoop { for _ in 0..<count { sem_post(shared) } }
    }
    sem_destroy(gate)
    gate.deallocate()
  }

  @Test("counts and names a turn that takes long")
  func lag() async throws {
    let metrics = MetricsRegistry()
    let counter = metrics.counter("annals_reactor_long_turns_total", ["reactor": "test"], help: "")
    try await withReactor(metrics: metrics) { reactor in
      // On a busy machine the system may stop any turn for as long.
      let before = counter.value
      usleep(80_000)
      try await reactor.sleep(for: .milliseconds(1))
      #expect(counter.value > before)
    }
  }

  @Test("shuts down with handles still open")
  func shutdown() async throws {
    for _ in 0..<10 {
      var ends: [Int32] = [0, 0]
      #expect(pipe(&ends) == 0)
      try await withReactor { [ends] reactor in
        reactor.timer(label: "test") {}.start(after: .seconds(60))
        _ = try reactor.watch(ends[0], for: [], label: "test") { _ in }
      }
      for end in ends { close(end) }
    }
  }
}
