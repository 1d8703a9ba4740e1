/// Exponential backoff with jitter. The delay doubles up to a limit; each one is random between half of it and all of
/// it, so that many clients do not reconnect to a restarted server at the same moment.
public struct Backoff: Sendable {
  public let first: Duration
  public let limit: Duration
  public private(set) var attempts = 0

  public init(first: Duration = .milliseconds(50), limit: Duration = .seconds(5)) {
    (self.first, self.limit) = (first, limit)
  }

  public mutating func next() -> Duration {
    let whole = min(limit, first * (1 << min(attempts, 20)))
    attempts += 1
    return whole * Double.random(in: 0.5...1)
  }

  public mutating func reset() { attempts = 0 }
}
