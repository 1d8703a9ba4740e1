import Configuration
import Glibc
import Identifiers
import Redis

/// How often documents are read, counted in Redis beside the reading itself.
///
/// The totals are keys of their own, which other programs read by their names. Each minute has a sorted set of what was read in it,
/// from which the durable copy is made.
public struct ViewCounts: Sendable {
  private let redis: RedisClient
  private let prefix: String

  public init(_ context: Context) {
    (redis, prefix) = (context.redis, context.settings[ConnectionSettings.redisPrefix])
  }

  static func viewsKey(_ id: UUID) -> String { "analytics:views:\(id)" }
  static func visitorsKey(_ id: UUID) -> String { "analytics:unique_views:\(id)" }

  func minuteKey(_ minute: Int64) -> String { "\(prefix)views:\(minute)" }
  /// Set by who has restored the counts: without it Redis has lost them.
  var restoredKey: String { "\(prefix)views:restored" }

  /// Minutes since 1970.
  static func minute(before ago: Duration = .zero) -> Int64 { (Int64(time(nil)) - ago.components.seconds) / 60 }

  /// The commands that count a view.
  func counting(_ id: UUID, _ visitor: String) -> [RedisCommand] {
    [
      RedisCommand("INCR", Self.viewsKey(id)), RedisCommand("PFADD", Self.visitorsKey(id), visitor),
      RedisCommand("ZINCRBY", minuteKey(Self.minute()), "1", id.description),
    ]
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
