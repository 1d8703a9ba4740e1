import CUV
import Logging
import Metrics

/// Measures the working time of each turn of a loop, without waiting, and logs the longest callback of a long turn.
struct TurnMeter {
  static let limit: Duration = .milliseconds(50)

  private let logger: Logger
  private let timer: Histogram
  private let longTurns: Counter
  private var lastTime = uv_hrtime()
  private var lastIdle: UInt64 = 0
  private var longest: (label: StaticString, nanoseconds: UInt64) = ("tasks", 0)

  init(reactor: String, logger: Logger, metrics: MetricsRegistry) {
    self.logger = logger.labelled("reactor")
    timer = metrics.timer("annals_reactor_turn_seconds", ["reactor": reactor], help: "Working time of one loop turn.")
    longTurns = metrics.counter(
      "annals_reactor_long_turns_total", ["reactor": reactor], help: "Turns of a loop that worked for more than 50 ms.")
  }

  mutating func note(_ label: StaticString, nanoseconds: UInt64) {
    if nanoseconds > longest.nanoseconds { longest = (label, nanoseconds) }
  }

  /// - Parameter idle: Nanoseconds that the loop has waited since it started.
  mutating func measure(idle: UInt64) {
    let now = uv_hrtime()
    let work = Duration.nanoseconds(Int64(now - lastTime) - Int64(idle - lastIdle))
    (lastTime, lastIdle) = (now, idle)
    timer.record(work)
    if work > Self.limit {
      longTurns.increment()
      let rest = work - .nanoseconds(Int64(longest.nanoseconds))
      let label = rest > .nanoseconds(Int64(longest.nanoseconds)) ? "tasks" : longest.label
      logger.warning("A turn of the loop took too long", metadata: ["duration": "\(work)", "longest": "\(label)"])
    }
    longest = ("tasks", 0)
  }
}
