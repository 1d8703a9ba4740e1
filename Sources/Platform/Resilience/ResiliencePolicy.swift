/// How a client treats the server that it talks to: one value for each server.
public struct ResiliencePolicy: Sendable, Equatable {
  /// Of one try.
  public var timeout: Duration
  /// How often a call is sent at most, if it may be repeated.
  public var tries: Int
  /// Retries for each call in the long run. More would keep a server that is in trouble there.
  public var retryShare: Double
  /// The pause before the first retry; each further one is twice as long, with jitter.
  public var pause: Duration
  /// Calls under way beyond which others are refused at once: a slow server does not take everything for itself.
  public var maximumCalls: Int
  /// So many failures within `window`, and no smaller share of its calls: the server is left alone.
  public var failures: Int
  public var failureShare: Double
  public var window: Duration
  /// How long it is left alone at first. Then one call tries it; each time that fails, the rest is twice as long.
  public var rest: Duration
  public var longestRest: Duration

  public init(
    timeout: Duration, tries: Int = 1, retryShare: Double = 0.1, pause: Duration = .milliseconds(50),
    maximumCalls: Int, failures: Int = 3, failureShare: Double = 0.5, window: Duration = .seconds(10),
    rest: Duration = .seconds(1),
    longestRest: Duration = .seconds(30)
  ) {
    (self.timeout, self.tries, self.retryShare, self.pause) = (timeout, tries, retryShare, pause)
    (self.maximumCalls, self.window) = (maximumCalls, window)
    (self.failures, self.failureShare) = (failures, failureShare)
    (self.rest, self.longestRest) = (rest, longestRest)
  }
}
