import Configuration
import Glibc
import Identifiers
import Redis
import Synchronization

/// How often documents are read, counted in Redis beside the reading itself.
///
/// The totals are keys of their own, which other programs read by their names. Each minute has a sorted set of what was read in it,
/// from which the durable copy is made.
public struct ViewCounts: Sendable {
  private let redis: RedisClient
  private let prefix: String
  private let minutes = Minutes()

  /// A minute that nobody copies is forgotten after a day and an hour.
  static let minuteLifetime = 90_000

  /// The minute whose set has got its end, in this process's reactor.
  private final class Minutes: Sendable {
    private let last = Mutex<Int64>(0)
    func isNew(_ minute: Int64) -> Bool {
      last.withLock { last in
        defer { last = minute }
        return last != minute
      }
    }
  }

  public init(_ context: Context) {
    (redis, prefix) = (context.redis, context.settings[ConnectionSettings.redisPrefix])
  }

  static func viewsKey(_ id: UUID) -> String { "analytics:views:\(id)" }
  static func visitorsKey(_ id: UUID) -> String { "analytics:unique_views:\(id)" }

  func minuteKey(_ minute: Int64) -> String { "\(prefix)views:\(minute)" }
  /// The minute up to which Redis has what was saved. Without it Redis has lost everything; an older Redis has an older one.
  var restoredKey: String { "\(prefix)views:restored" }

  /// Minutes since 1970.
  static func minute(before ago: Duration = .zero) -> Int64 { (Int64(time(nil)) - ago.components.seconds) / 60 }

  /// The commands that count a view.
  func counting(_ id: UUID, _ visitor: String) -> [RedisCommand] { counting(id, [visitor: 1]) }

  /// The commands that count several views.
  ///
  /// - Parameter visitors: How often each has read it.
  func counting(_ id: UUID, _ visitors: [String: Int]) -> [RedisCommand] {
    let (minute, views) = (Self.minute(), "\(visitors.values.reduce(0, +))")
    let count = [
      RedisCommand("INCRBY", Self.viewsKey(id), views),
      RedisCommand(words: (["PFADD", Self.visitorsKey(id)] + visitors.keys).map { Array($0.utf8) }),
      RedisCommand("ZINCRBY", minuteKey(minute), views, id.description),
    ]
    return minutes.isNew(minute) ? count + [RedisCommand("EXPIRE", minuteKey(minute), "\(Self.minuteLifetime)")] : count
  }

  struct Statistics {
    let views: Int64
    let uniqueVisitors: Int64
  }

  /// How often a document was read, and by how many (an estimate: HyperLogLog, standard error 0.81 %).
  func statistics(_ id: UUID) async throws -> Statistics {
    let replies = try await redis.pipeline([
      RedisCommand("GET", Self.viewsKey(id)), RedisCommand("PFCOUNT", Self.visitorsKey(id)),
    ])
    return Statistics(views: replies[0].text.flatMap { Int64($0) } ?? 0, uniqueVisitors: replies[1].integer ?? 0)
  }
}
