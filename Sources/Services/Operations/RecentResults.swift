import Logging
import Reactor

/// The results of checks, kept for a second: however many ask, the servers are asked once.
actor RecentResults {
  private nonisolated let reactor: Reactor
  nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  static let lifetime = Duration.seconds(1)

  private let logger: Logger
  private var latest: (results: [CheckResult], at: ContinuousClock.Instant)?
  private var running: Task<[CheckResult], Never>?

  init(on reactor: Reactor, logger: Logger) { (self.reactor, self.logger) = (reactor, logger.labelled("checks")) }

  /// Runs the checks, unless that has just been done or is being done.
  func results(of checks: [Check]) async -> [CheckResult] {
    if let latest, .now - latest.at < Self.lifetime { return latest.results }
    if let running { return await running.value }
    let task = Task(executorPreference: reactor) { await Check.run(checks) }
    running = task
    let results = await task.value
    running = nil
    for result in results where !result.isOK {
      logger.warning("Check failed", metadata: ["check": result.name, .error: result.text])
    }
    latest = (results, .now)
    return results
  }
}
