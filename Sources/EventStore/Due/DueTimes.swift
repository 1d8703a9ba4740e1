import Events
public import Postgres
import Schema
public import Time

/// When something happens to aggregates of one category by itself: an end, a reminder.
///
/// A time is noted before the event that makes it so is appended, and what really is due is the aggregate's to say: a stop in
/// between leaves a time too many, and never one too few. Several workers may look at the same time.
public struct DueTimes: Sendable {
  public struct Entry: Sendable {
    public let id: String
    public let due: Timestamp
    /// It was noted so long ago that what it was noted for is there, or will never be.
    public let isOld: Bool
  }

  private let pool: PostgresPool
  private let category: String

  private static let note = Query("note_due", Schema.noteDue)
  private static let now = Query("due_now", Schema.dueNow)
  private static let forget = Query("forget_due", Schema.forgetDue)
  private static let settle = Query("settle_due", Schema.settleDue)

  public init(_ store: EventStore, category: StaticString) {
    (pool, self.category) = (store.pool, "\(category)")
  }

  /// Notes when something is due next for an aggregate.
  public func note(_ id: String, at time: Timestamp) async throws(PostgresError) {
    _ = try await pool.query(Self.note, [.text(category), .text(id), .timestamp(time)])
  }

  /// What is due by now, the earliest first, taken for half a minute: nobody else gets it meanwhile. To be settled.
  public func due(limit: Int) async throws(PostgresError) -> [Entry] {
    var entries: [Entry] = []
    for row in try await pool.query(Self.now, [.text(category), .bigint(Int64(limit))]) {
      entries.append(Entry(id: try row.get(0), due: try row.get(1), isOld: try row.get(2)))
    }
    return entries
  }

  /// Keeps what was taken from others for longer than half a minute.
  ///
  /// - Returns: The entry, to be settled in place of the one before.
  public func hold(_ entry: Entry, for duration: Duration) async throws(PostgresError) -> Entry {
    let until = Timestamp(
      microseconds: Timestamp.now().microseconds + duration.components.seconds * 1_000_000)
    try await settle(entry, next: until)
    return Entry(id: entry.id, due: until, isOld: entry.isOld)
  }

  /// Nothing is due any more for an aggregate.
  public func forget(_ id: String) async throws(PostgresError) {
    _ = try await pool.query(Self.forget, [.text(category), .text(id)])
  }

  /// Puts off what was taken; nil: there is nothing more to come.
  public func settle(_ entry: Entry, next: Timestamp?) async throws(PostgresError) {
    _ = try await pool.query(
      Self.settle, [.text(category), .text(entry.id), .timestamp(entry.due), next.map { .timestamp($0) } ?? .null])
  }
}
