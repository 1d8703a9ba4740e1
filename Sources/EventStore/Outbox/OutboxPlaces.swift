public import Identifiers
public import Postgres
import Schema

/// Where events are in the outbox, and how far its readers are.
public struct OutboxPlaces: Sendable {
  public struct Place: Sendable {
    public let sequence: Int64
    /// The transaction that wrote it: its epoch and number.
    public let transaction: String
    /// False: its partition is gone, or it was never published.
    public let isKept: Bool
  }

  public struct Reader: Sendable {
    public let name: String
    /// Up to where in the WAL it has confirmed; nil: it reads the table, or has no slot.
    public let confirmed: LogSequenceNumber?
  }

  private let pool: PostgresPool

  private static let place = Query("outbox_place", Schema.outboxPlace)
  private static let readers = Query("outbox_readers", Schema.outboxReaders)

  public init(_ pool: PostgresPool) { self.pool = pool }

  /// - Returns: nil if the log has no such event.
  public func place(of event: UUID) async throws(PostgresError) -> Place? {
    try await pool.read(Self.place, [.uuid(event)]).first.map { row throws(PostgresError) in
      Place(sequence: try row.get(0), transaction: try row.get(1), isKept: try row.get(2))
    }
  }

  public func readers() async throws(PostgresError) -> [Reader] {
    var readers: [Reader] = []
    for row in try await pool.read(Self.readers) {
      readers.append(Reader(name: try row.get(0), confirmed: try row.optional(1)))
    }
    return readers
  }
}
