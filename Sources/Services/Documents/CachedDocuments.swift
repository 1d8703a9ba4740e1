import Metrics
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
    fileprivate let known: Document?

    var document: Document { get throws { try known ?? Document(rowImage: JSONValue(parsing: row)) } }
  }

  /// - Parameters:
  ///   - visitor: The client's address; views are counted for it.
  ///   - tokens: The cache may be behind what their owner has seen; the log is not.
  ///   - seen: The newest version that the caller has.
  func read(
    _ id: UUID, visitor: String, notBefore tokens: [AtLeast] = [], seen: StreamVersion = .none
  ) async throws -> Reading {
    func isNewEnough(_ version: StreamVersion) -> Bool {
      version >= seen && !tokens.contains { $0.isNewer(than: version, of: Document.stream(id.description)) }
    }
    let (row, isHot) = hot.read(id)
    var isCounted = false
    if let row, isNewEnough(row.version) {
      if await countTogether(id, visitor) == row.version {
        reads.memory.increment()
        return Reading(row: row.bytes, version: row.version, isFromCache: true, known: row.document)
      }
      // Somebody has removed it, or it is another one by now: it may not be shown to everybody any more.
      hot.forget(id)
      isCounted = true
    }
    let (cached, counts) = await cached(id, visitor: isCounted ? nil : visitor)
    isCounted = isCounted || counts
    if let cached, isNewEnough(cached.version) {
      if isHot { hot.offer(cached.row, of: id) }
      reads.redis.increment()
      return cached
    }
    reads.log.increment()
    let document: Document
    do { document = try await existing(id) } catch {
      // No more views are counted of what is not there.
      known.remove(id)
      throw error
    }
    if !isCounted { await countView(of: id, visitor) }
    known.insert(id)
    // The next reader finds it, if it is still the newest then. Documents are readable without Redis.
    try? await cache.keep(document.rowImage, of: id.description, at: document.version)
    return Reading(row: document.rowImage, version: document.version, isFromCache: false, known: document)
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

  /// - Parameter visitor: nil: the view is counted already.
  /// - Returns: What Redis has, and whether the view was counted.
  private func cached(_ id: UUID, visitor: String?) async -> (Reading?, isCounted: Bool) {
    do {
      let key = DocumentCache.key(id.description)
      let reply: RedisValue
      var isCounted = false
      if visitor == nil {
        reply = try await redis.command(RedisCommand("GET", key))
      } else if let visitor, known.contains(id) {
        // Four commands cost Redis less than a script.
        reply = try await redis.pipeline([RedisCommand("GET", key)] + views.counting(id, visitor))[0]
        isCounted = true
      } else {
        reply = try await redis.evaluate(
          Self.readAndCount,
          keys: [key, ViewCounts.viewsKey(id), ViewCounts.visitorsKey(id), views.minuteKey(ViewCounts.minute())],
          arguments: [
            Array((visitor ?? "").utf8), Array(id.description.utf8), Array("\(ViewCounts.minuteLifetime)".utf8),
          ])
      }
      isCounted = isCounted || (visitor != nil && reply.bytes != nil)
      guard let row = reply.bytes, let version = DocumentCache.version(of: row) else { return (nil, isCounted) }
      known.insert(id)
      return (Reading(row: row, version: version, isFromCache: true, known: nil), isCounted)
    } catch {
      // Documents are readable without Redis; the client has logged that its connection is lost.
      return (nil, false)
    }
  }

  /// Counts a view of a document that the cache does not have yet.
  private func countView(of id: UUID, _ visitor: String) async {
    // Documents are readable without Redis, uncounted.
    _ = try? await redis.pipeline(views.counting(id, visitor))
  }
}
