import Events
import Identifiers
import Projections
import Reactor
import Redis
import Synchronization

/// Counts of views of hot documents: whoever reads one while others are being counted is counted with all who came meanwhile, by
/// one command each for all of them. All wait for that, so that a count that is asked for afterwards has every answered read. The
/// same round trip says which version Redis has: whoever takes a right back, or deletes, removes the row there.
final class GatheredCounts: Sendable {
  private struct Counting {
    /// Those who come next.
    var visitors: [String: Int] = [:]
    var next: Task<StreamVersion?, Never>?
    /// Those who are being counted.
    var running: Task<StreamVersion?, Never>?
  }
  private let documents: Mutex<[UUID: Counting]> = Mutex([:])
  private let counts: ViewCounts
  private let redis: RedisClient
  private let reactor: Reactor

  private let key: @Sendable (UUID) -> String

  init(_ counts: ViewCounts, _ redis: RedisClient, key: @escaping @Sendable (UUID) -> String, on reactor: Reactor) {
    (self.counts, self.redis, self.key, self.reactor) = (counts, redis, key, reactor)
  }

  /// Returns when the view is counted.
  ///
  /// - Returns: The version of the row that Redis has; nil: it has none, or does not answer.
  func count(_ id: UUID, _ visitor: String) async -> StreamVersion? {
    let task = documents.withLock { documents in
      var document = documents[id] ?? Counting()
      defer { documents[id] = document }
      document.visitors[visitor, default: 0] += 1
      if let next = document.next { return next }
      let next = Task(executorPreference: reactor) { [running = document.running] in
        _ = await running?.value
        return await self.send(id)
      }
      document.next = next
      return next
    }
    return await task.value
  }

  private func send(_ id: UUID) async -> StreamVersion? {
    let visitors = documents.withLock { documents in
      let document = documents[id] ?? Counting()
      documents[id] = Counting(running: document.next)
      return document.visitors
    }
    // A row ends with its version.
    let end = RedisCommand("GETRANGE", key(id), "-40", "-1")
    let replies = try? await redis.pipeline(counts.counting(id, visitors) + [end])
    documents.withLock { if $0[id]?.next == nil { $0[id] = nil } }
    return replies?.last?.bytes.flatMap { DocumentCache.version(of: $0) }
  }
}
