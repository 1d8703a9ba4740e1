import Domain
import Events
import Identifiers
import JSON
import Projections
import Redis

/// Reading for clients: from Redis with one round trip, views counted in it; by replay if Redis does not have the
/// document or does not answer.
extension DocumentService {
  struct Reading {
    let row: [UInt8]
    let version: StreamVersion
    let isFromCache: Bool

    var document: Document { get throws { try Document(rowImage: JSONValue(parsing: row)) } }
  }

  /// - Parameters:
  ///   - visitor: The client's address; views are counted for it.
  ///   - token: The cache may be behind what its owner has seen; the log is not.
  func read(_ id: UUID, visitor: String, notBefore tokens: [AtLeast] = []) async throws -> Reading {
    if let cached = await cached(id, visitor: visitor),
      !tokens.contains(where: { $0.isNewer(than: cached.version, of: Document.stream(id.description)) })
    {
      return cached
    }
    let document: Document
    do { document = try await existing(id) } catch {
      // No more views are counted of what is not there.
      known.remove(id)
      throw error
    }
    if !known.contains(id) {
      await countView(of: id, visitor)
      known.insert(id)
    }
    // The next reader finds it, if it is still the newest then. Documents are readable without Redis.
    try? await cache.keep(document.rowImage, of: id.description, at: document.version)
    return Reading(row: document.rowImage, version: document.version, isFromCache: false)
  }

  /// Reads a document and counts the view; counts nothing for one that is not there.
  private static let readAndCount = RedisScript(
    "document-read",
    """
    local row = redis.call('GET', KEYS[1])
    if row then
      redis.call('INCR', KEYS[2])
      redis.call('PFADD', KEYS[3], ARGV[1])
      redis.call('ZINCRBY', KEYS[4], 1, ARGV[2])
      redis.call('EXPIRE', KEYS[4], ARGV[3])
    end
    return row
    """)

  private func cached(_ id: UUID, visitor: String) async -> Reading? {
    do {
      let key = DocumentCache.key(id.description)
      let reply: RedisValue
      if known.contains(id) {
        // Four commands cost Redis less than a script.
        reply = try await redis.pipeline([RedisCommand("GET", key)] + views.counting(id, visitor))[0]
      } else {
        reply = try await redis.evaluate(
          Self.readAndCount,
          keys: [key, ViewCounts.viewsKey(id), ViewCounts.visitorsKey(id), views.minuteKey(ViewCounts.minute())],
          arguments: [
            Array(visitor.utf8), Array(id.description.utf8), Array("\(ViewCounts.minuteLifetime)".utf8),
          ])
      }
      guard let row = reply.bytes, let version = DocumentCache.version(of: row) else { return nil }
      known.insert(id)
      return Reading(row: row, version: version, isFromCache: true)
    } catch {
      // Documents are readable without Redis; the client has logged that its connection is lost.
      return nil
    }
  }

  /// Counts a view of a document that the cache does not have yet.
  private func countView(of id: UUID, _ visitor: String) async {
    // Documents are readable without Redis, uncounted.
    _ = try? await redis.pipeline(views.counting(id, visitor))
  }
}
