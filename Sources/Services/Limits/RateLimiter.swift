import Crypto
import Metrics
import Reactor
import Redis
import Synchronization
import Time

/// Counts what each client asks for in a window that slides: what came in the window before counts by the part of it that still lies
/// in the last `window`. All processes count together, in Redis; without it each reactor counts for itself.
final class RateLimiter: Sendable {
  /// What a client has left.
  struct Verdict: Equatable, Sendable {
    let isAllowed: Bool
    let remaining: Int
    /// Until some of it is free again, in seconds.
    let reset: Int
  }

  let limit: Int
  /// In seconds.
  let window: Int
  private let redis: RedisClient
  private let prefix: String
  private let share: Int
  private let local = Mutex(LocalCounts())
  private let fallbacks: Counter
  private let reactor: Reactor
  /// Until when Redis is not asked: it has not answered in time.
  private let away = Mutex<ContinuousClock.Instant?>(nil)

  /// How long a request waits for Redis, and how long Redis is left alone where that was not enough.
  private static let (patience, rest) = (Duration.milliseconds(500), Duration.seconds(3))

  /// - Parameter reactors: How many there are: without Redis each allows its part.
  init(
    limit: Int, window: Duration, _ redis: RedisClient, prefix: String, reactors: Int, on reactor: Reactor,
    metrics: MetricsRegistry
  ) {
    self.reactor = reactor
    (self.limit, self.redis, self.prefix) = (limit, redis, prefix)
    self.window = max(1, Int(window.components.seconds))
    share = max(1, limit / max(1, reactors))
    fallbacks = metrics.counter(Self.fallbacks, help: Self.fallbacksHelp)
  }

  static let fallbacks = "annals_rate_limit_fallbacks_total"
  static let fallbacksHelp = "Requests that were counted by a reactor alone, because Redis did not answer in time."

  /// By the server's clock: those of the processes may differ. The counts of two windows are one hash, which ends with them.
  private static let script = RedisScript(
    "rate-limit",
    """
    local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
    local time = redis.call('TIME')
    local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
    local number = math.floor(now / window)
    local found = redis.call('HMGET', KEYS[1], 'w', 'c', 'p')
    local seen, count, before = tonumber(found[1] or -1), tonumber(found[2] or 0), tonumber(found[3] or 0)
    if seen == number - 1 then before, count = count, 0 elseif seen ~= number then before, count = 0, 0 end
    local left = (number + 1) * window - now
    local used = before * left / window + count
    if used + 1 > limit then
      local wait = left
      if count + 1 > limit then wait = left + window * (1 - (limit - 1) / count)
      elseif before > 0 then wait = left - (limit - count - 1) * window / before end
      return {0, 0, math.ceil(math.max(wait, 1))}
    end
    redis.call('HSET', KEYS[1], 'w', number, 'c', count + 1, 'p', before)
    redis.call('EXPIRE', KEYS[1], window * 2)
    return {1, math.floor(limit - used - 1), math.ceil(left)}
    """)

  /// Counts a request.
  ///
  /// - Parameter client: Who asks for what.
  func count(_ client: String) async -> Verdict {
    let key = "\(prefix)limit:\(SHA256.hash(Array(client.utf8)).prefix(16).hexadecimal)"
    let isAway = away.withLock { away in
      if let until = away, .now < until { return true }
      away = nil
      return false
    }
    if !isAway, let verdict = await asked(key) { return verdict }
    if !isAway { away.withLock { $0 = .now + Self.rest } }
    fallbacks.increment()
    let now = Double(Timestamp.now().microseconds) / 1_000_000
    return local.withLock { $0.count(key, at: now, limit: share, window: window) }
  }

  /// What Redis says; nil: it says nothing, or not in time.
  private func asked(_ key: String) async -> Verdict? {
    await withTaskGroup(of: Verdict?.self) { group in
      group.addTask { [redis, limit, window] in
        let reply = try? await redis.evaluate(
          Self.script, keys: [key], arguments: [Array("\(limit)".utf8), Array("\(window)".utf8)])
        guard case .array(let parts) = reply, parts.count == 3, let allowed = parts[0].integer,
          let remaining = parts[1].integer, let reset = parts[2].integer
        else { return nil }
        return Verdict(isAllowed: allowed == 1, remaining: Int(remaining), reset: Int(reset))
      }
      group.addTask { [reactor] in
        try? await reactor.sleep(for: Self.patience)
        return nil
      }
      let first = await group.next() ?? nil
      group.cancelAll()
      return first
    }
  }
}

/// The counts of one reactor. They are bounded: where there are too many clients, those of older windows are forgotten, then all.
struct LocalCounts {
  private var counts: [String: (window: Int, count: Int, before: Int)] = [:]

  static let most = 10_000

  /// - Parameter now: In seconds.
  mutating func count(_ key: String, at now: Double, limit: Int, window: Int) -> RateLimiter.Verdict {
    let number = Int(now / Double(window))
    var (seen, count, before) = counts[key] ?? (number, 0, 0)
    if seen == number - 1 { (before, count) = (count, 0) } else if seen != number { (before, count) = (0, 0) }
    seen = number
    let left = Double((number + 1) * window) - now
    let used = Double(before) * left / Double(window) + Double(count)
    guard used + 1 <= Double(limit) else {
      var wait = left
      if count + 1 > limit {
        // It weighs less from the next window on.
        wait = left + Double(window) * (1 - Double(limit - 1) / Double(count))
      } else if before > 0 {
        wait = left - Double(limit - count - 1) * Double(window) / Double(before)
      }
      return .init(isAllowed: false, remaining: 0, reset: Int(max(wait, 1).rounded(.up)))
    }
    if counts.count >= Self.most, counts[key] == nil {
      counts = counts.filter { $0.value.window >= number }
      if counts.count >= Self.most { counts = [:] }
    }
    counts[key] = (seen, count + 1, before)
    return .init(isAllowed: true, remaining: Int(Double(limit) - used - 1), reset: Int(left.rounded(.up)))
  }
}
