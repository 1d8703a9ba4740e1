import Metrics
public import Reactor
public import Resilience

extension Dependency {
  /// A server of the stack, by a patient policy.
  public static func ofStack(_ name: String, on reactor: Reactor) -> Dependency {
    Dependency(
      name, ResiliencePolicy(timeout: .seconds(30), tries: 4, maximumCalls: 1_000), reactor: reactor.name,
      logger: quietLogger(), metrics: MetricsRegistry())
  }
}
