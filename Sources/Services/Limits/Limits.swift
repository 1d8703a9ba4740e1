import HTTPServer
import Reactor
import Configuration
import Metrics
import Redis

/// How much the clients of one reactor may ask for.
public struct Limits: Sendable {
  private let rates: Rates
  let shedding: LoadShedding?

  public init(_ context: Context) {
    let settings = context.settings
    rates = Rates(context)
    let most = settings[LimitSettings.concurrency]
    shedding =
      most == 0
      ? nil
      : LoadShedding(
        most: most, latency: settings[LimitSettings.latency], reactor: context.reactor.name, metrics: context.metrics)
  }

  func rates(of route: Route) -> RateLimits? { rates.limits(of: "\(route.method.rawValue) \(route.path)", route.path) }
}

/// What the clients of one reactor may ask of each route.
struct Rates: Sendable {
  private let limiter: RateLimiter?
  private let metrics: MetricsRegistry

  init(_ context: Context) {
    let settings = context.settings
    metrics = context.metrics
    RateLimits.declare(metrics)
    let limit = settings[LimitSettings.requests]
    limiter =
      limit == 0
      ? nil
      : RateLimiter(
        limit: limit, window: settings[LimitSettings.window], context.redis,
        prefix: settings[ConnectionSettings.redisPrefix], reactors: settings.servingReactors, on: context.reactor,
        metrics: context.metrics)
  }

  /// - Parameters:
  ///   - route: A route, or a method of gRPC, as clients know it.
  ///   - label: In metrics.
  func limits(of route: String, _ label: String) -> RateLimits? {
    limiter.map { RateLimits($0, route, label: label, metrics: metrics) }
  }
}
