import Metrics
import Support
import Testing

@testable import Resilience

@Suite("A server that fails", .timeLimit(.minutes(1))) struct BreakerTests {
  private let policy = ResiliencePolicy(timeout: .seconds(1), tries: 3, maximumCalls: 2)
  private let start = ContinuousClock.now

  /// A breaker, and calls that end at once.
  private final class Server {
    var breaker: Breaker
    private let start: ContinuousClock.Instant

    init(_ policy: ResiliencePolicy, _ start: ContinuousClock.Instant) {
      (breaker, self.start) = (Breaker(policy), start)
    }

    /// - Returns: False if the call is not made.
    func call(_ outcome: Outcome, after time: Duration = .zero) -> Bool {
      let admission = breaker.enter(at: start + time)
      _ = breaker.leave(admission, outcome, at: start + time, jitter: 1)
      return admission != .refused
    }
  }

  @Test("is left alone, longer each time, and one call tries it") func rests() {
    let server = Server(policy, start)
    for _ in 0..<3 { #expect(server.call(.failed)) }
    #expect(!server.call(.answered, after: .milliseconds(999)))
    // One call tries it, and no other is made meanwhile.
    let probe = server.breaker.enter(at: start + .seconds(1))
    #expect(server.breaker.state == .probing && !server.call(.answered, after: .seconds(1)))
    let hasChanged = server.breaker.leave(probe, .failed, at: start + .seconds(2), jitter: 1)
    #expect(hasChanged)
    #expect(server.breaker.state == .resting(until: start + .seconds(4)))
    // A probe that is given up says nothing: the next one comes at once.
    #expect(server.call(.abandoned, after: .seconds(4)))
    #expect(server.call(.answered, after: .seconds(4)) && server.breaker.state == .working)
    // It has worked: rests begin anew.
    for _ in 0..<3 { #expect(server.call(.failed, after: .seconds(5))) }
    #expect(server.breaker.state == .resting(until: start + .seconds(6)))
  }

  @Test("is not left alone for a few failures among many calls, old ones, or ones that came late") func bears() {
    let server = Server(policy, start)
    for number in 0..<100 { #expect(server.call(number % 3 == 0 ? .failed : .answered)) }
    for number in 0..<10 { #expect(server.call(.failed, after: .seconds(20 + number * 6))) }
    #expect(server.breaker.state == .working)
    let late = server.breaker.enter(at: start + .seconds(100))
    for _ in 0..<3 { #expect(server.call(.failed, after: .seconds(100))) }
    #expect(server.call(.answered, after: .seconds(102)) && server.breaker.state == .working)
    let hasChanged = server.breaker.leave(late, .failed, at: start + .seconds(102), jitter: 1)
    #expect(!hasChanged)
  }

  @Test("whose calls share a connection is left alone after one failure, however many were answered before")
  func shared() {
    let server = Server(ResiliencePolicy(timeout: .seconds(1), maximumCalls: 2, failures: 1, failureShare: 0), start)
    for _ in 0..<1_000 { #expect(server.call(.answered)) }
    #expect(server.call(.failed) && !server.call(.answered))
  }

  private struct Failed: Error {}

  @Test("is asked again a few times, not for ever, and by no more than its calls") func retries() async {
    let patient = ResiliencePolicy(
      timeout: .seconds(60), tries: 3, retryShare: 0.1, pause: .milliseconds(1), maximumCalls: 2, failures: 1_000_000)
    let server = Dependency("server", patient, reactor: "0", logger: quietLogger(), metrics: MetricsRegistry())
    func sent(_ calls: Int, isRepeatable: Bool) async -> Int {
      var count = 0
      for _ in 0..<calls {
        try? await server.call(
          isRepeatable: isRepeatable, outcome: { (_: Failed) in .failed }, refused: { _ in Failed() }
        ) { () async throws(Failed) in
          count += 1
          throw Failed()
        }
      }
      return count
    }
    #expect(await sent(5, isRepeatable: false) == 5)
    #expect(await sent(1, isRepeatable: true) == 3)
    // Three tries of a call are one failure.
    let strict = Dependency("strict", policy, reactor: "0", logger: quietLogger(), metrics: MetricsRegistry())
    for _ in 0..<2 {
      try? await strict.call(isRepeatable: true, outcome: { (_: Failed) in .failed }, refused: { _ in Failed() }) {
        () async throws(Failed) in throw Failed()
      }
    }
    #expect(strict.state == .working)
    // After the first ten the budget is a tenth of the calls.
    #expect(await (110...130).contains(sent(100, isRepeatable: true)))
  }

  @Test("has so many calls at most") func bulkhead() throws {
    let server = Dependency(
      "server", policy, reactor: "0", logger: quietLogger(), metrics: MetricsRegistry())
    let first = try server.begin()
    let second = try server.begin()
    #expect(throws: Dependency.Refusal.self) { try server.begin() }
    server.end(first, .answered)
    server.end(try server.begin(), .abandoned)
    server.end(second, .answered)
    #expect(server.state == .working)
  }
}
