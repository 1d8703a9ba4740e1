import Identifiers
import Reactor
import Redis
import Synchronization

/// Counts of views of hot documents: all who read one within two milliseconds are counted by the same commands, and all wait for
/// them, so that a count that is asked for afterwards has every answered read.
final class GatheredCounts: Sendable {
  private struct Batch {
    var visitors: [String: Int] = [:]
    let task: Task<Void, Never>
  }
  private let batches: Mutex<[UUID: Batch]> = Mutex([:])
  private let counts: ViewCounts
  private let redis: RedisClient
  private let reactor: Reactor

  private static let window = Duration.milliseconds(2)

  init(_ counts: ViewCounts, _ redis: RedisClient, on reactor: Reactor) {
    (self.counts, self.redis, self.reactor) = (counts, redis, reactor)
  }

  /// Returns when the view is counted, or cannot be.
  func count(_ id: UUID, _ visitor: String) async {
    let task = batches.withLock { batches in
      if batches[id] != nil {
        batches[id]?.visitors[visitor, default: 0] += 1
        return batches[id]?.task
      }
      let task = Task(executorPreference: reactor) { [self] in
        try? await reactor.sleep(for: Self.window)
        let visitors = self.batches.withLock { $0.removeValue(forKey: id)?.visitors } ?? [:]
        // Documents are readable without Redis, uncounted.
        _ = try? await redis.pipeline(counts.counting(id, visitors))
      }
      batches[id] = Batch(visitors: [visitor: 1], task: task)
      return task
    }
    await task?.value
  }
}
