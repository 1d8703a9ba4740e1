import Identifiers
import Synchronization

/// Ids that were seen lately, a bounded number of them.
final class RecentIDs: Sendable {
  private let ids: Mutex<Set<UUID>>
  private let limit: Int

  init(limit: Int) {
    self.limit = limit
    ids = Mutex([])
  }

  func contains(_ id: UUID) -> Bool { ids.withLock { $0.contains(id) } }

  func remove(_ id: UUID) { _ = ids.withLock { $0.remove(id) } }

  /// Forgets all others if there are too many.
  func insert(_ id: UUID) {
    ids.withLock { ids in
      if ids.count >= limit { ids.removeAll(keepingCapacity: true) }
      ids.insert(id)
    }
  }
}
