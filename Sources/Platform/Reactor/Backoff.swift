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

  /// Life of a connection from which on its loss is not taken for a failed attempt.
  private static let stable = Duration.seconds(10)

  /// The delay before a lost connection is made again: none after the first loss, or after a while of life. A server that
  /// accepts and closes is not asked all the time.
  public mutating func next(afterLife life: Duration) -> Duration {
    if life > Self.stable { reset() }
    let isFirst = attempts == 0
    let delay = next()
    return isFirst ? .zero : delay
  }

  public mutating func reset() { attempts = 0 }
}
