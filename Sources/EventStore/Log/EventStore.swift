public import Events
public import Postgres
import Schema
public import Tracing

/// The append-only event log. No other type writes to it.
///
/// It keeps no state between calls and needs no session state, so it works through PgBouncer in transaction mode.
public struct EventStore: Sendable {
  let pool: PostgresPool
  let personal: PersonalFields
  let tracer: Tracer?

  /// - Parameters:
  ///   - personal: Fields of events that are stored in another form than they are written and read.
  ///   - tracer: Takes the spans of appends; nil: none are recorded.
  public init(_ pool: PostgresPool, personal: PersonalFields = .open, tracer: Tracer? = nil) {
    (self.pool, self.personal, self.tracer) = (pool, personal, tracer)
  }

  /// Maximum number of events in one append, over all its streams.
  public static let maximumEvents = 1_000
  /// Default maximum number of events in a page.
  public static let pageSize = 1_000

  /// The identity of the log: it stays the same through dumps, copies and failovers.
  public func identity() async throws(PostgresError) -> LogIdentity { try await LogIdentity.read(over: pool) }

  static let archive = Query("archive_stream", Schema.archiveStream)

  /// Ends a stream: it takes no more events, and is read as before.
  ///
  /// - Parameter isArchived: false: the stream takes events again.
  /// - Returns: The stream's version; nil if it has no events.
  public func archive(_ stream: StreamID, _ isArchived: Bool = true) async throws(PostgresError) -> StreamVersion? {
    try await pool.query(Self.archive, [.text(stream.description), .bool(isArchived)]).first
      .map { row throws(PostgresError) in StreamVersion(try row.get(0)) }
  }
}
