import Base64
import Crypto
import HTTPServer
import JSON
import Redis
import Synchronization

/// A place on a long way through the hits of one search: the point in time that Elasticsearch keeps for it, and the last hit's
/// place in the order. It is sealed: a point in time of a client's own could be another index's.
struct SearchCursor: Sendable {
  let pointInTime: String
  let sort: JSONValue

  /// The longest text: a point in time of an index with many shards has some kilobytes.
  static let maximumLength = 16_384

  static let problem = Problem(
    400, "Malformed query",
    detail: "the cursor is none: use next_cursor of an earlier answer, unchanged, or begin with an empty one",
    field: "cursor")
  static let isOver = Problem(
    410, "Gone", detail: "the cursor has ended, two minutes after its last use: begin again with an empty one",
    field: "cursor")

  func sealed(_ key: [UInt8]) -> String {
    var writer = JSONWriter()
    writer.object {
      $0.member("pit", pointInTime)
      $0.name("sort")
      $0.value(sort)
    }
    let code = SHA256.authenticationCode(of: writer.bytes, key: key)
    return "\(Base64.url(writer.bytes)).\(Base64.url(code))"
  }

  init(pointInTime: String, sort: JSONValue) { (self.pointInTime, self.sort) = (pointInTime, sort) }

  init(_ text: String, _ key: [UInt8]) throws(Problem) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard text.utf8.count <= Self.maximumLength, parts.count == 2, let payload = Base64.decodeURL(parts[0].utf8),
      let code = Base64.decodeURL(parts[1].utf8),
      Secrets.areEqual(code, SHA256.authenticationCode(of: payload, key: key)),
      let value = try? JSONValue(parsing: payload), let pointInTime = value["pit"]?.string, let sort = value["sort"]
    else { throw Self.problem }
    self.init(pointInTime: pointInTime, sort: sort)
  }
}

/// The key of seals, the same in all processes: whoever needs it first makes it, in Redis.
final class SealKey: Sendable {
  private let redis: RedisClient
  private let name: String
  private let known = Mutex<[UInt8]?>(nil)

  init(_ redis: RedisClient, prefix: String) { (self.redis, name) = (redis, "\(prefix)seal-key") }

  func key() async throws -> [UInt8] {
    if let key = known.withLock({ $0 }) { return key }
    let new = Secrets.random(32).hexadecimal
    _ = try await redis.command(RedisCommand("SET", name, new, "NX"))
    let key = try await redis.command(RedisCommand("GET", name)).bytes ?? []
    guard key.count == 64 else { throw Problem.unavailable("Redis") }
    known.withLock { $0 = key }
    return key
  }
}
