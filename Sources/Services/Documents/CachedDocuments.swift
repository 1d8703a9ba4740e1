import Domain
import Events
import Identifiers
import Projections
import Redis

/// Reading for clients: from Redis with one round trip, views counted in it; by replay if Redis does not have the
/// document or does not answer.
extension DocumentService {
  struct Reading {
    let row: [UInt8]
    let version: StreamVersion
    let isFromCache: Bool
  }

  // Other programs read these keys by their names.
  static func viewsKey(_ id: UUID) -> String { "analytics:views:\(id)" }
  static func visitorsKey(_ id: UUID) -> String { "analytics:unique_views:\(id)" }

  /// - Parameter visitor: The client's address; views are counted for it.
  func read(_ id: UUID, visitor: String) async throws -> Reading {
    if let cached = await cached(id, visitor: visitor) {
      guard let row = cached.row else { throw DocumentRefusal.deleted }
      return Reading(row: row, version: cached.version, isFromCache: true)
    }
    guard let document = try await document(id) else {
      await forgetCounts(id)
      throw DocumentRefusal.notFound
    }
    guard !document.isDeleted else { throw DocumentRefusal.deleted }
    return Reading(row: document.rowImage, version: document.version, isFromCache: false)
  }

  private func cached(_ id: UUID, visitor: String) async -> (version: StreamVersion, row: [UInt8]?)? {
    do {
      let replies = try await redis.pipeline([
        RedisCommand("HMGET", DocumentCache.key(id.description), "version", "row"),
        RedisCommand("INCR", Self.viewsKey(id)),
        RedisCommand("PFADD", Self.visitorsKey(id), visitor),
      ])
      guard let fields = replies[0].array, fields.count == 2, let text = fields[0].text, let version = Int64(text)
      else {
        return nil
      }
      return (StreamVersion(version), fields[1].bytes)
    } catch {
      // Documents are readable without Redis; the client has logged that its connection is lost.
      return nil
    }
  }

  /// Removes the counts of an id that no document has: a caller may ask for any number of such ids.
  private func forgetCounts(_ id: UUID) async {
    // Clean-up: without Redis there are no counts to remove.
    _ = try? await redis.command(RedisCommand("DEL", Self.viewsKey(id), Self.visitorsKey(id)))
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
