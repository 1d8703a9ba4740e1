import Identifiers
import Reactor
import Redis
import Synchronization

/// Counts of views of hot documents: whoever reads one while others are being counted is counted with all who came meanwhile, by
/// one command each for all of them. All wait for that, so that a count that is asked for afterwards has every answered read.
final class GatheredCounts: Sendable {
  private struct Document {
    /// Those who come next.
    var visitors: [String: Int] = [:]
    var next: Task<Void, Never>?
    /// Those who are being counted.
    var running: Task<Void, Never>?
  }
  private let documents: Mutex<[UUID: Document]> = Mutex([:])
  private let counts: ViewCounts
  private let redis: RedisClient
  private let reactor: Reactor

  init(_ counts: ViewCounts, _ redis: RedisClient, on reactor: Reactor) {
    (self.counts, self.redis, self.reactor) = (counts, redis, reactor)
  }

  /// Returns when the view is counted, or cannot be.
  func count(_ id: UUID, _ visitor: String) async {
    let task = documents.withLock { documents in
      var document = documents[id] ?? Document()
      defer { documents[id] = document }
      document.visitors[visitor, default: 0] += 1
      if let next = document.next { return next }
      let next = Task(executorPreference: reactor) { [running = document.running] in
        await running?.value
        await self.send(id)
      }
      document.next = next
      return next
    }
    await task.value
  }

  private func send(_ id: UUID) async {
    let visitors = documents.withLock { documents in
      let document = documents[id] ?? Document()
      documents[id] = Document(running: document.next)
      return document.visitors
    }
    // Documents are readable without Redis, uncounted.
    _ = try? await redis.pipeline(counts.counting(id, visitors))
    documents.withLock { if $0[id]?.next == nil { $0[id] = nil } }
  }
}
