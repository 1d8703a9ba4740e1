public import Logging
public import Metrics
import Reactor
import Synchronization

/// A server that a process's reactor depends on: every call to it goes through here, by its policy.
public final class Dependency: Sendable {
  public let name: String
  public let policy: ResiliencePolicy
  private let logger: Logger
  private let metrics: Measures

  private struct Books {
    var breaker: Breaker
    var running = 0
    /// Retries that may be made. Each call adds its share.
    var retries: Double
  }
  private let books: Mutex<Books>
  /// Retries that are possible at once after a quiet time.
  private static let mostRetries = 10.0

  public init(_ name: String, _ policy: ResiliencePolicy, reactor: String, logger: Logger, metrics: MetricsRegistry) {
    (self.name, self.policy, self.logger) = (name, policy, logger)
    self.metrics = Measures(name, reactor: reactor, metrics)
    books = Mutex(Books(breaker: Breaker(policy), retries: Self.mostRetries))
  }

  /// From the best to the worst.
  public enum State: String, CaseIterable, Sendable {
    case working
    /// One call tries whether it works again, or the next one will.
    case probing
    /// It has failed, and is left alone for a while.
    case resting
  }

  public var state: State {
    switch books.withLock({ $0.breaker.state }) {
    case .working: .working
    // The next call tries it.
    case .resting(let until): until > .now ? .resting : .probing
    case .probing: .probing
    }
  }

  /// Why a call was not made.
  public enum Refusal: Error, Sendable, CustomStringConvertible {
    case resting(String)
    case busy(String, calls: Int)

    public var description: String {
      switch self {
      case .resting(let name): "\(name) has failed several times and is left alone for a moment"
      case .busy(let name, let calls): "\(calls) calls to \(name) are under way; no more are made"
      }
    }
  }

  /// A call that may be made, until `end`.
  public struct Call: Sendable {
    fileprivate let admission: Breaker.Admission
  }

  public func begin() throws(Refusal) -> Call {
    let result = books.withLock { books -> Result<Call, Refusal> in
      guard books.running < policy.maximumCalls else { return .failure(.busy(name, calls: books.running)) }
      let admission = books.breaker.enter(at: .now)
      if admission == .refused { return .failure(.resting(name)) }
      books.running += 1
      books.retries = min(Self.mostRetries, books.retries + policy.retryShare)
      return .success(Call(admission: admission))
    }
    switch result {
    case .success(let call): if case .probe = call.admission { metrics.show(.probing) }
    case .failure(let refusal): metrics.refused(refusal)
    }
    return try result.get()
  }

  public func end(_ call: Call, _ outcome: Outcome) {
    if outcome == .failed { metrics.failures.increment() }
    let (hasChanged, state) = books.withLock { books in
      books.running -= 1
      let hasChanged = books.breaker.leave(call.admission, outcome, at: .now, jitter: .random(in: 0.5...1))
      return (hasChanged, books.breaker.state)
    }
    guard hasChanged else { return }
    switch state {
    case .working:
      metrics.show(.working)
      logger.info("A server works again", metadata: ["server": name])
    case .resting(let until):
      metrics.show(.resting)
      if outcome == .failed {
        logger.warning(
          "A server has failed and is left alone for a while",
          metadata: ["server": name, .delay: "\(until - .now)"])
      }
    case .probing: metrics.show(.probing)
    }
  }

  /// Makes a call, and repeats it by the policy.
  ///
  /// - Parameters:
  ///   - isRepeatable: The call may be made twice, also where it is not known whether the first one was carried out.
  ///   - patience: How long a server that is left alone is waited for: for work of which much is done already.
  ///   - outcome: What an error shows about the server. Only `failed` is tried again.
  ///   - refused: The error for a call that is not made.
  public func call<Value, Failure: Error>(
    isRepeatable: Bool, patience: Duration = .zero, outcome: (Failure) -> Outcome, refused: (Refusal) -> Failure,
    _ body: () async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    var backoff = Backoff(first: policy.pause, limit: .seconds(1))
    while true {
      let call: Call
      do { call = try await begin(patience) } catch { throw refused(error) }
      let start = ContinuousClock.now
      do throws(Failure) {
        let value = try await body()
        end(call, .answered)
        return value
      } catch {
        let outcome = outcome(error)
        // A try that took most of the time-out would take it again.
        let isRepeated =
          outcome == .failed && isRepeatable && backoff.attempts < policy.tries - 1
          && .now - start < policy.timeout / 2 && mayRetry()
        // However often it is tried, it is one failure.
        end(call, isRepeated ? .abandoned : outcome)
        guard isRepeated, (try? await Task.sleep(for: backoff.next())) != nil else { throw error }
      }
    }
  }

  private func begin(_ patience: Duration) async throws(Refusal) -> Call {
    let deadline = ContinuousClock.now + patience
    while true {
      do { return try begin() } catch {
        guard case .resting = error, .now < deadline,
          (try? await Task.sleep(for: .milliseconds(200) * Double.random(in: 0.5...1))) != nil
        else { throw error }
      }
    }
  }

  private func mayRetry() -> Bool {
    let may = books.withLock { books in
      guard books.breaker.state == .working, books.retries >= 1 else { return false }
      books.retries -= 1
      return true
    }
    if may { metrics.retries.increment() }
    return may
  }
}

/// The metrics of a dependency.
private struct Measures: Sendable {
  private let state: Gauge
  let failures: Counter
  let retries: Counter
  private let resting: Counter
  private let busy: Counter

  init(_ name: String, reactor: String, _ metrics: MetricsRegistry) {
    state = metrics.gauge(
      "annals_dependency_state", ["dependency": name, "reactor": reactor],
      help: "0: it works; 1: it has failed, and is left alone; 2: one call tries it.")
    failures = metrics.counter(
      "annals_dependency_failures_total", ["dependency": name, "reactor": reactor],
      help: "Calls that got no answer, none in time, or one that says that the server cannot.")
    retries = metrics.counter(
      "annals_dependency_retries_total", ["dependency": name, "reactor": reactor], help: "Calls that were made again.")
    func refused(_ reason: String) -> Counter {
      metrics.counter(
        "annals_dependency_refused_total", ["dependency": name, "reactor": reactor, "reason": reason],
        help: "Calls that were not made: the server is left alone, or has too many.")
    }
    (resting, busy) = (refused("resting"), refused("busy"))
  }

  func show(_ state: Dependency.State) {
    switch state {
    case .working: self.state.set(0)
    case .resting: self.state.set(1)
    case .probing: self.state.set(2)
    }
  }

  func refused(_ refusal: Dependency.Refusal) {
    switch refusal {
    case .resting: resting.increment()
    case .busy: busy.increment()
    }
  }
}
