import Reactor
import Configuration
import Metrics
import Redis

/// How much the clients of one reactor may ask for.
public struct Limits: Sendable {
  private let limiter: RateLimiter?
  let shedding: LoadShedding?
  private let metrics: MetricsRegistry

  public init(_ context: Context, reactors: Int) {
    let settings = context.settings
    metrics = context.metrics
    RateLimits.declare(metrics)
    let limit = settings[LimitSettings.requests]
    limiter =
      limit == 0
      ? nil
      : RateLimiter(
        limit: limit, window: settings[LimitSettings.window], context.redis,
        prefix: settings[ConnectionSettings.redisPrefix], reactors: reactors, on: context.reactor,
        metrics: context.metrics)
    let most = settings[LimitSettings.concurrency]
    shedding =
      most == 0
      ? nil
      : LoadShedding(
        most: most, latency: settings[LimitSettings.latency], reactor: context.reactor.name, metrics: context.metrics)
  }

  func rates(of route: Route) -> RateLimits? { limiter.map { RateLimits($0, route, metrics: metrics) } }
}
