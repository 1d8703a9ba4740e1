public import Events
import Identifiers
import JSON
public import Postgres
import Schema
public import Time

/// The append-only event log. No other type writes to it.
///
/// It keeps no state between calls and needs no session state, so it works through PgBouncer in transaction mode.
public struct EventStore: Sendable {
  private let pool: PostgresPool

  public init(_ pool: PostgresPool) { self.pool = pool }

  static let append = Query("append", Schema.append)
  static let readStream = Query("read_stream", Schema.readStream)
  static let foldStream = Query("fold_stream", Schema.foldStream)
  static let readLog = Query("read_log", Schema.readLog)
  static let streamVersion = Query("stream_version", Schema.streamVersion)

  /// Maximum number of events in one append.
  public static let maximumEvents = 1_000

  /// Appends events to one stream, and their outbox rows, in one transaction and one round trip (G1).
  ///
  /// - Throws: `versionConflict` with the stream's version if it is not the expected one. Nothing is then written.
  public func append(
    _ events: [NewEvent], to stream: StreamID, expecting: ExpectedVersion, metadata: EventMetadata
  ) async throws(AppendError) -> AppendResult {
    guard (1...Self.maximumEvents).contains(events.count) else { throw .eventCount(events.count) }
    let rows: Rows
    do {
      rows = try await pool.query(Self.append, parameters(events, stream, expecting, metadata))
    } catch {
      if case .server(let server) = error, server.constraint == "events_stream_version_key" {
        throw .versionConflict(stream: stream, expected: expecting, actual: try await version(of: stream))
      }
      throw .database(error)
    }
    let result: AppendResult
    do { result = try AppendResult(rows) } catch { throw .database(error) }
    guard result.wasAppended else {
      throw .versionConflict(stream: stream, expected: expecting, actual: result.version)
    }
    return result
  }

  private func parameters(
    _ events: [NewEvent], _ stream: StreamID, _ expecting: ExpectedVersion, _ metadata: EventMetadata
  ) -> [Parameter] {
    func text(_ bytes: [UInt8]?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
    let expected: Parameter =
      switch expecting {
      case .any: .null
      case .noStream: .bigint(0)
      case .exact(let version): .bigint(version.value)
      }
    return [
      .text(stream.description), .text(stream.category), expected, .uuids(events.map(\.id)),
      .texts(events.map(\.type)), .integers(events.map(\.schemaVersion)), .jsonbs(events.map(\.data)),
      .jsonb(metadata.json), .text(stream.id), .texts(events.map { $0.change?.operation.rawValue }),
      .texts(events.map { text($0.change?.before) }), .texts(events.map { text($0.change?.after) }),
      metadata.traceparent.map { traceparent in
        var writer = JSONWriter(reserving: 96)
        writer.object { $0.member("traceparent", traceparent) }
        return .text(String(decoding: writer.bytes, as: UTF8.self))
      } ?? .null,
    ]
  }

  private func version(of stream: StreamID) async throws(AppendError) -> StreamVersion {
    do {
      let rows = try await pool.query(Self.streamVersion, [.text(stream.description)])
      return StreamVersion(try rows.first?.get(0) ?? 0)
    } catch { throw .database(error) }
  }

  /// Default maximum number of events in a page.
  public static let pageSize = 1_000

  /// Reads a page of a stream's events after a version. `hasMore` is true if more events follow.
  public func read(
    _ stream: StreamID, after version: StreamVersion = .none, limit: Int = pageSize
  ) async throws(ReadError) -> EventPage {
    try await page(Self.readStream, [.text(stream.description), .bigint(version.value)], limit: limit)
  }

  /// Reads a page of the whole log after a position. The page is final: no event will appear before its last one (G2).
  /// A long transaction delays readers, but no event is skipped. `hasMore` is true if more events are already final.
  public func readLog(after position: Position, limit: Int = pageSize) async throws(ReadError) -> EventPage {
    try await page(
      Self.readLog, [.xid8(TransactionID(position.transaction)), .bigint(position.sequence)], limit: limit)
  }

  private func page(_ query: Query, _ parameters: [Parameter], limit: Int) async throws(ReadError) -> EventPage {
    // Requests one more event than the page holds: if it exists, `hasMore` is true.
    let found = try await events(query, parameters + [.bigint(Int64(limit) + 1)])
    return EventPage(events: Array(found.prefix(limit)), hasMore: found.count > limit)
  }

  /// Reads the bodies of a page of a stream's events after a version, for folding: less than `read` reads.
  func readBodies(
    _ stream: StreamID, after version: StreamVersion, limit: Int
  ) async throws(ReadError) -> (bodies: [EventBody], hasMore: Bool) {
    let rows = try await rows(
      Self.foldStream, [.text(stream.description), .bigint(version.value), .bigint(Int64(limit) + 1)])
    var bodies: [EventBody] = []
    bodies.reserveCapacity(min(rows.count, limit))
    do throws(PostgresError) {
      for row in rows where bodies.count < limit {
        bodies.append(
          EventBody(
            version: StreamVersion(try row.get(0)), id: try row.get(1), type: try row.get(2),
            schemaVersion: Int32(try row.get(3, as: Int.self)), data: try row.get(4, as: JSONText.self).bytes,
            recordedAt: try row.get(5)))
      }
    } catch { throw .database(error) }
    return (bodies, rows.count > limit)
  }

  private func rows(_ query: Query, _ parameters: [Parameter]) async throws(ReadError) -> Rows {
    do { return try await pool.read(query, parameters) } catch { throw .database(error) }
  }

  private func events(_ query: Query, _ parameters: [Parameter]) async throws(ReadError) -> [RecordedEvent] {
    let rows = try await rows(query, parameters)
    var events: [RecordedEvent] = []
    events.reserveCapacity(rows.count)
    for row in rows { events.append(try RecordedEvent(row)) }
    return events
  }
}

extension RecordedEvent {
  init(_ row: Rows.Row) throws(ReadError) {
    func get<Value: PostgresDecodable>(_ column: Int, as type: Value.Type = Value.self) throws(ReadError) -> Value {
      do { return try row.get(column) } catch { throw .database(error) }
    }
    let position = Position(transaction: try get(0, as: TransactionID.self).value, sequence: try get(1))
    let name = try get(2, as: String.self)
    guard let stream = StreamID(name) else { throw ReadError.malformed(position, "stream “\(name)”") }
    let metadata: EventMetadata
    let metadataText = try get(9, as: JSONText.self).bytes
    do { metadata = try EventMetadata(json: metadataText) } catch {
      throw ReadError.malformed(position, "metadata: \(error)")
    }
    self.init(
      position: position, stream: stream, version: StreamVersion(try get(4)), id: try get(5), type: try get(6),
      schemaVersion: Int32(try get(7, as: Int.self)), data: try get(8, as: JSONText.self).bytes, metadata: metadata,
      recordedAt: try get(10), hash: try get(11))
  }
}

/// Consecutive events of a stream or of the log, in order.
public struct EventPage: Sendable {
  public let events: [RecordedEvent]
  /// True if more events follow the last one.
  public let hasMore: Bool
}

/// The result of an append.
public struct AppendResult: Equatable, Sendable {
  /// The stream's version after the last of the events.
  public let version: StreamVersion
  /// Sequence number of the last event in the log.
  public let sequence: Int64
  public let recordedAt: Time.Timestamp
  /// False: `version` differs from the expected one, and nothing was written.
  let wasAppended: Bool

  init(_ rows: Rows) throws(PostgresError) {
    guard let row = rows.first else { throw .decoding(column: 0, expected: "there") }
    wasAppended = try row.get(0)
    version = StreamVersion(try row.get(1))
    sequence = try row.optional(2) ?? 0
    recordedAt = try row.optional(3) ?? Timestamp(microseconds: 0)
  }
}

public enum AppendError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Another writer appended first, or the caller expected an outdated version.
  case versionConflict(stream: StreamID, expected: ExpectedVersion, actual: StreamVersion)
  case eventCount(Int)
  case database(PostgresError)

  public var isRetriable: Bool {
    switch self {
    case .versionConflict: true
    case .eventCount: false
    case .database(let error): error.isRetriable
    }
  }

  public var description: String {
    switch self {
    case .versionConflict(let stream, let expected, let actual):
      "stream \(stream) is at version \(actual), not \(expected): read the stream and decide again"
    case .eventCount(let count): "an append must have 1 to \(EventStore.maximumEvents) events, not \(count)"
    case .database(let error): "\(error)"
    }
  }
}

public enum ReadError: Error, Equatable, Sendable, CustomStringConvertible {
  case database(PostgresError)
  /// A stored event cannot be parsed.
  case malformed(Position, String)

  public var isRetriable: Bool { if case .database(let error) = self { error.isRetriable } else { false } }

  public var description: String {
    switch self {
    case .database(let error): "\(error)"
    case .malformed(let position, let reason): "the event at \(position) cannot be read: \(reason)"
    }
  }
}
