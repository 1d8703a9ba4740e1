import Crypto
public import Identifiers
public import Postgres
import Schema
public import Time

/// How often documents were read, as it is saved in Postgres.
public struct SavedReadCounts: Sendable {
  /// What is known of one document.
  public struct Count: Sendable {
    public let document: UUID
    /// In all.
    public let views: Int64
    /// A HyperLogLog, as Redis keeps it.
    public let visitors: [UInt8]

    public init(document: UUID, views: Int64, visitors: [UInt8]) {
      (self.document, self.views, self.visitors) = (document, views, visitors)
    }
  }

  private let pool: PostgresPool

  public init(_ pool: PostgresPool) { self.pool = pool }

  private static let saveReads = Query("save_views", Schema.saveViews)
  private static let saved = Query("saved_views", Schema.savedViews)
  private static let byDay = Query("views_by_day", Schema.viewsByDay)
  private static let most = Query("most_viewed", Schema.mostViewed)

  /// Saves what was read in a minute. Saved again it counts nothing more.
  ///
  /// - Parameter added: The reads of that minute, of each document.
  public func save(_ counts: [Count], added: [Int64], minute: Int64) async throws(PostgresError) {
    _ = try await pool.query(
      Self.saveReads,
      [
        .uuids(counts.map(\.document)), .bigints(added), .bigints(counts.map(\.views)),
        .texts(counts.map(\.visitors.hexadecimal)), .bigint(minute),
      ])
  }

  /// A page of what was saved since a time, by document.
  public func page(
    after document: UUID, since time: Timestamp, limit: Int
  ) async throws(PostgresError) -> [Count] {
    var counts: [Count] = []
    for row in try await pool.query(Self.saved, [.uuid(document), .timestamp(time), .bigint(Int64(limit))]) {
      counts.append(Count(document: try row.get(0), views: try row.get(1), visitors: try row.get(2)))
    }
    return counts
  }

  /// The reads of a document by day, `2026-11-27`, from a day on. Days without any are left out.
  public func days(of document: UUID, since day: String) async throws(PostgresError) -> [(day: String, views: Int64)] {
    var days: [(day: String, views: Int64)] = []
    for row in try await pool.query(Self.byDay, [.uuid(document), .text(day)]) {
      days.append((try row.get(0), try row.get(1)))
    }
    return days
  }

  /// The documents that were read most from a day to another.
  public func most(
    from first: String, to last: String, limit: Int
  ) async throws(PostgresError) -> [(document: UUID, views: Int64)] {
    var documents: [(document: UUID, views: Int64)] = []
    for row in try await pool.query(Self.most, [.text(first), .text(last), .bigint(Int64(limit))]) {
      documents.append((try row.get(0), try row.get(1)))
    }
    return documents
  }
}
