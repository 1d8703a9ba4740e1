import Crypto
import Identifiers
import Lifecycle
import Logging
import Projections
import Reactor
import Redis
import Synchronization
import Time

/// Copies the counts of views from Redis to Postgres each minute, and puts them back when Redis has lost them.
///
/// Several processes may do it: a minute that is copied twice counts once.
final class DurableViews: Worker {
  let name = "analytics"
  private let context: Context
  private let counts: ViewCounts
  private let logger: Logger
  private let saved: SavedReadCounts
  private let state = Mutex<String?>(nil)

  /// A minute is copied once nobody adds to it any more: clocks differ a little.
  private static let delay = Duration.seconds(75)
  /// How much counting is lost at most if Redis loses everything: a minute, and the time until it is copied.
  static let loss = delay + .seconds(60)
  /// How far back minutes are looked for that nobody has copied.
  private static let reach: Int64 = 24 * 60
  private static let page = 500

  init(_ context: Context) {
    self.context = context
    (counts, saved) = (ViewCounts(context), SavedReadCounts(context.pool))
    logger = context.logger.labelled("analytics")
  }

  var problem: String? { get async { state.withLock { $0 } } }

  func run(until stop: StopSignal) async throws {
    try await stop.cancels { await self.context.reactor.run { await self.work() } }
  }

  private func work() async {
    var connection: Int?
    var copied: Int64?
    var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
    while !Task.isCancelled {
      do {
        let now = await context.redis.connections
        if connection != now {
          try await restore()
          connection = now
        }
        let newest = ViewCounts.minute(before: Self.delay)
        // After a start: whatever others have left.
        let minutes =
          if let copied, copied < newest { Array(copied + 1...newest) } else if copied == nil {
            try await left(upTo: newest)
          } else { [Int64]() }
        for minute in minutes { try await copy(minute) }
        if copied != newest { try await mark(newest) }
        copied = newest
        state.withLock { $0 = nil }
        backoff.reset()
        try await context.reactor.sleep(for: .seconds(1))
      } catch is CancellationError { return } catch {
        state.withLock { $0 = "counts of views are not copied: Redis or Postgres does not answer" }
        logger.warning("Counts of views are not copied", metadata: [.error: "\(error)"])
        do { try await context.reactor.sleep(for: backoff.next()) } catch { return }
      }
    }
  }

  // MARK: Copying

  /// The minutes that nobody has copied yet, asked for in one go.
  private func left(upTo newest: Int64) async throws -> [Int64] {
    let minutes = Array(newest - Self.reach + 1...newest)
    let replies = try await context.redis.pipeline(minutes.map { RedisCommand("EXISTS", counts.minuteKey($0)) })
    return zip(minutes, replies).filter { $0.1.integer == 1 }.map(\.0)
  }

  /// Copies what was read in a minute, and forgets the minute.
  func copy(_ minute: Int64) async throws {
    let key = counts.minuteKey(minute)
    while true {
      // By rank and not by a cursor: what is saved is removed.
      let reply =
        try await context.redis.command(
          RedisCommand("ZRANGE", key, "0", "\(Self.page - 1)", "WITHSCORES")
        ).array ?? []
      var read: [(id: UUID, count: Int64)] = []
      for index in stride(from: 0, to: reply.count - 1, by: 2) {
        guard let id = reply[index].text.flatMap({ UUID($0) }),
          let score = reply[index + 1].text.flatMap({ Double($0) })
        else { continue }
        read.append((id, Int64(score)))
      }
      guard !read.isEmpty else { break }
      let replies = try await context.redis.pipeline(
        read.flatMap {
          [RedisCommand("GET", ViewCounts.viewsKey($0.id)), RedisCommand("GET", ViewCounts.visitorsKey($0.id))]
        })
      let all = read.indices.map { index in
        SavedReadCounts.Count(
          document: read[index].id, views: replies[2 * index].text.flatMap { Int64($0) } ?? 0,
          visitors: replies[2 * index + 1].bytes ?? [])
      }
      try await saved.save(all, added: read.map(\.count), minute: minute)
      _ = try await context.redis.pipeline(read.map { RedisCommand("ZREM", key, $0.id.description) })
    }
  }

  // MARK: Restoring

  /// KEYS: views, visitors, a place for the saved visitors. ARGV: saved views, saved visitors. Raises the counts to what was saved.
  private static let raise = RedisScript(
    "raise-views",
    """
    if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
    if ARGV[2] ~= '' then
      redis.call('SET', KEYS[3], ARGV[2])
      redis.call('PFMERGE', KEYS[2], KEYS[3])
      redis.call('DEL', KEYS[3])
    end
    return 1
    """)

  private func mark(_ minute: Int64) async throws {
    _ = try await context.redis.command(RedisCommand("SET", counts.restoredKey, "\(minute)"))
  }

  /// Redis was replaced in the midst of the restoring.
  private struct Replaced: Error, CustomStringConvertible {
    let description = "the connection to Redis was made anew: the counts are restored again"
  }

  /// Raises the counts in Redis to those that were saved since the minute up to which it has them.
  func restore() async throws {
    let connection = await context.redis.connections
    let newest = ViewCounts.minute(before: Self.delay)
    let known = try await context.redis.command(RedisCommand("GET", counts.restoredKey)).text.flatMap { Int64($0) }
    let hasAll = known != nil
    // An hour before it: clocks differ, and a copy may have been under way.
    let since = Timestamp(microseconds: known.map { ($0 - 60) * 60_000_000 } ?? 0)
    var last = UUID(high: 0, low: 0)
    var count = 0
    while true {
      let page = try await saved.page(after: last, since: since, limit: Self.page)
      guard let end = page.last else { break }
      _ = try await context.redis.evaluate(
        Self.raise,
        page.map { count in
          (
            keys: [
              ViewCounts.viewsKey(count.document), ViewCounts.visitorsKey(count.document),
              "\(counts.restoredKey):\(count.document)",
            ], arguments: [Array("\(count.views)".utf8), count.visitors]
          )
        })
      last = end.document
      count += page.count
    }
    guard await context.redis.connections == connection else { throw Replaced() }
    try await mark(newest)
    if !hasAll, count > 0 {
      logger.notice(
        "Redis had lost the counts of views; the saved ones are there again", metadata: ["documents": "\(count)"])
    }
  }
}
