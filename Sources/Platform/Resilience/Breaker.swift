/// Leaves a server alone for a while after it has failed several times, and lets one call try whether it works again.
///
/// A circuit breaker, as a value: `Dependency` keeps one, and tells it the time.
struct Breaker: Sendable {
  typealias Instant = ContinuousClock.Instant

  enum State: Sendable, Equatable {
    case working
    /// No call is made before that moment.
    case resting(until: Instant)
    /// One call is under way, and all others wait for what it finds.
    case probing
  }

  /// The answer to a call that asks to be made.
  enum Admission: Sendable, Equatable {
    case call(number: Int)
    /// The same, and its outcome decides.
    case probe(number: Int)
    case refused
  }

  private(set) var state = State.working
  private let policy: ResiliencePolicy
  /// Rests since it last worked.
  private var rests = 0
  /// Changes of state so far: outcomes of calls that began before the last one say nothing any more.
  private var era = 0
  private var begin: Instant?
  private var (calls, failures) = (0, 0)

  init(_ policy: ResiliencePolicy) { self.policy = policy }

  mutating func enter(at now: Instant) -> Admission {
    switch state {
    case .working: return .call(number: era)
    case .probing: return .refused
    case .resting(let until):
      guard now >= until else { return .refused }
      change(to: .probing)
      return .probe(number: era)
    }
  }

  /// - Parameter jitter: From 0.5 to 1.
  /// - Returns: True if the state has changed.
  mutating func leave(_ admission: Admission, _ outcome: Outcome, at now: Instant, jitter: Double) -> Bool {
    switch admission {
    case .refused: return false
    case .probe(let number):
      guard number == era else { return false }
      switch outcome {
      case .answered:
        rests = 0
        change(to: .working)
      case .failed: rest(from: now, jitter)
      // It has found nothing: the next call is the probe.
      case .abandoned: change(to: .resting(until: now))
      }
      return true
    case .call(let number):
      guard number == era, outcome != .abandoned else { return false }
      if begin.map({ now - $0 > policy.window }) ?? true { (begin, calls, failures) = (now, 0, 0) }
      calls += 1
      guard outcome == .failed else { return false }
      failures += 1
      guard failures >= policy.failures, Double(failures) >= policy.failureShare * Double(calls) else { return false }
      rest(from: now, jitter)
      return true
    }
  }

  private mutating func rest(from now: Instant, _ jitter: Double) {
    let whole = min(policy.longestRest, policy.rest * (1 << min(rests, 16)))
    rests += 1
    change(to: .resting(until: now + whole * jitter))
  }

  private mutating func change(to state: State) {
    self.state = state
    era += 1
    (begin, calls, failures) = (nil, 0, 0)
  }
}

/// The finding of a call about its server.
public enum Outcome: Sendable, Equatable {
  /// It works, whatever it has answered.
  case answered
  /// It was away, too slow, or could not.
  case failed
  /// Nothing: the caller has given up.
  case abandoned
}
