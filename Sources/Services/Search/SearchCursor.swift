import Base64
import Crypto
import HTTPServer
import JSON
import Redis

/// A place on a long way through the hits of one search: the point in time that Elasticsearch keeps for it, and the last hit's
/// place in the order.
///
/// Clients carry it sealed: a point in time of their own could be another index's, and a score tells of documents that they may
/// not see.
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

  init(pointInTime: String, sort: JSONValue) { (self.pointInTime, self.sort) = (pointInTime, sort) }

  func sealed(_ key: [UInt8]) -> String {
    var writer = JSONWriter()
    writer.object {
      $0.member("pit", pointInTime)
      $0.name("sort")
      $0.value(sort)
    }
    return Base64.url(SealedBytes.seal(writer.bytes, key))
  }

  /// - Returns: nil if it was not sealed with this key.
  init?(_ text: String, _ key: [UInt8]) {
    guard text.utf8.count <= Self.maximumLength, let bytes = Base64.decodeURL(text.utf8),
      let payload = SealedBytes.open(bytes, key), let value = try? JSONValue(parsing: payload),
      let pointInTime = value["pit"]?.string, let sort = value["sort"]
    else { return nil }
    self.init(pointInTime: pointInTime, sort: sort)
  }
}

/// Ways through hits that callers begin: each keeps a part of the index in Elasticsearch for two minutes.
struct BegunWalks: Sendable {
  private let redis: RedisClient
  private let prefix: String

  private static let most: Int64 = 30

  init(_ redis: RedisClient, prefix: String) { (self.redis, self.prefix) = (redis, prefix) }

  /// - Throws: A problem with status 429 for a caller that has begun too many.
  func begin(_ request: Request) async throws {
    let name = request.caller.actor ?? request.clientAddress
    let key = "\(prefix)walks:\(SHA256.hash(Array(name.utf8)).hexadecimal)"
    let replies = try await redis.pipeline([RedisCommand("INCR", key), RedisCommand("EXPIRE", key, "120", "NX")])
    guard replies[0].integer ?? 0 <= Self.most else {
      throw Problem(
        429, "Too many requests", detail: "at most \(Self.most) searches are begun with a cursor in two minutes",
        field: "cursor", headers: [("Retry-After", "120")])
    }
  }
}
