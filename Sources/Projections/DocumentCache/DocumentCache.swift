import Domain
import Events
import JSON
public import Redis

/// Rows of documents in Redis. Each is a hash `document:<id>` with the version and the row image.
///
/// The version of a deleted document is kept for a week, so that a late redelivery of an older change does not restore
/// the document.
public struct DocumentCache: View {
  public let name = "document-cache"
  public let categories = ["\(Document.category)"]
  private let redis: RedisClient

  public init(_ redis: RedisClient) { self.redis = redis }

  public static func key(_ id: String) -> String { "document:\(id)" }

  static let write = RedisScript(
    "document-cache-write",
    """
    local known = redis.call('HGET', KEYS[1], 'version')
    if known and tonumber(known) >= tonumber(ARGV[1]) then return 0 end
    redis.call('DEL', KEYS[1])
    if ARGV[2] == '' then
      redis.call('HSET', KEYS[1], 'version', ARGV[1])
      redis.call('EXPIRE', KEYS[1], 604800)
    else
      redis.call('HSET', KEYS[1], 'version', ARGV[1], 'row', ARGV[2])
    end
    return 1
    """)

  public func prepare() async throws {}

  public func apply(_ changes: [ViewChange]) async throws {
    guard !changes.isEmpty else { return }
    let replies = try await redis.evaluate(
      Self.write,
      changes.map { change in
        (keys: [Self.key(change.id)], arguments: [Array("\(change.version)".utf8), change.after?.bytes ?? []])
      })
    for case .error(let reason) in replies { throw RedisError.refused(command: Self.write.name, reason: reason) }
  }

  public func read(_ ids: [String]) async throws -> [String: ViewRow] {
    let replies = try await redis.pipeline(ids.map { RedisCommand("HMGET", Self.key($0), "version", "row") })
    var rows: [String: ViewRow] = [:]
    for (id, reply) in zip(ids, replies) {
      guard let fields = reply.array, fields.count == 2, let text = fields[0].text, let version = Int64(text) else {
        continue
      }
      rows[id] = ViewRow(version: StreamVersion(version), image: fields[1].text)
    }
    return rows
  }
}
