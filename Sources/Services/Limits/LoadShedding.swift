import HTTPServer
import Metrics
import Synchronization

/// Refuses requests early, with 503, where a reactor works on more than it can: those that it has taken are answered in time, and the
/// others hear at once that they must come later.
///
/// How many it takes at a time is found out: fewer while they take longer than they should, more while all of it is used and they do
/// not (additive increase, multiplicative decrease).
final class LoadShedding: Sendable {
  private let state: Mutex<AdaptiveLimit>
  private let shed: Counter
  private let present: Gauge

  init(most: Int, latency: Duration, reactor: String, metrics: MetricsRegistry) {
    state = Mutex(AdaptiveLimit(most: most, latency: latency))
    shed = metrics.counter(
      "annals_http_shed_total", ["reactor": reactor],
      help: "Requests that were refused because too many were worked on.")
    present = metrics.gauge(
      "annals_http_concurrency_limit", ["reactor": reactor],
      help: "Requests that the reactor works on at most, at present.")
    present.set(Int64(state.withLock { $0.limit }))
  }

  /// Room for one request, until it ends.
  final class Slot: Sendable {
    private let shedding: LoadShedding
    private let start = ContinuousClock.now
    private let isOver = Mutex(false)

    fileprivate init(_ shedding: LoadShedding) { self.shedding = shedding }

    /// The request is answered.
    func end() { give(.now - start) }

    /// It waits for something that is no work of this server: its room is others', and how long it takes says nothing.
    func leave() { give(.zero) }

    private func give(_ duration: Duration) {
      let isFirst = isOver.withLock { isOver in
        defer { isOver = true }
        return !isOver
      }
      if isFirst { shedding.end(after: duration) }
    }
  }

  /// That of the request that the task works on.
  @TaskLocal static var slot: Slot?

  /// - Throws: A problem with status 503 if there is no room.
  func begin() throws(Problem) -> Slot {
    guard state.withLock({ $0.begin() }) else {
      shed.increment()
      throw Problem(
        503, "Overloaded", detail: "the server works on as much as it can: try again in a moment",
        headers: [("Retry-After", "1")])
    }
    return Slot(self)
  }

  fileprivate func end(after duration: Duration) {
    let limit = state.withLock { state in
      state.end(after: duration, at: .now)
      return state.limit
    }
    present.set(Int64(limit))
  }
}

/// A limit that follows how long requests take.
struct AdaptiveLimit: Sendable {
  /// The present one.
  var limit: Int { Int(value) }
  private(set) var running = 0
  private var value: Double
  private let most: Double
  private let latency: Duration
  private var lowered: ContinuousClock.Instant?

  /// It never falls below this: a slow dependency must not stop everything.
  static let least = 64.0
  /// Where it begins: a server that has just started is slow.
  static let first = 256.0
  /// By how much it falls, and how long until it may fall again: what is running was taken under the limit before.
  private static let (decrease, pause) = (0.7, Duration.milliseconds(100))

  init(most: Int, latency: Duration) {
    self.most = max(Double(most), Self.least)
    (value, self.latency) = (min(self.most, Self.first), latency)
  }

  /// - Returns: False if there is no room.
  mutating func begin() -> Bool {
    guard running < limit else { return false }
    running += 1
    return true
  }

  mutating func end(after duration: Duration, at now: ContinuousClock.Instant) {
    let wasFull = running * 2 >= limit
    running -= 1
    if duration > latency {
      if let lowered, now - lowered < Self.pause { return }
      lowered = now
      // From what was really used: an idle server's limit says nothing.
      value = max(Self.least, min(value, Double(running + 1)) * Self.decrease)
    } else if wasFull {
      // One more for each that was quick, else for each round of all that run.
      value = min(most, value + (duration < latency / 4 ? 1 : 1 / max(value, 1)))
    }
  }
}

/// The step around handlers of routes without a body.
struct Shedding: Middleware {
  private let shedding: LoadShedding

  /// - Returns: nil for a route with a body: it is asked when that has arrived. Contents are never refused: they have a memory of their own.
  init?(_ shedding: LoadShedding, _ route: Route) {
    guard case .none = route.body else { return nil }
    self.shedding = shedding
  }

  func handle(_ request: Request, next: Handler) async throws -> Response {
    let slot = try shedding.begin()
    defer { slot.end() }
    return try await LoadShedding.$slot.withValue(slot) { try await next(request) }
  }
}
