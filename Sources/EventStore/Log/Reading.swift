public import Events
public import Identifiers
import JSON
public import Postgres
import Schema
public import Time

extension EventStore {
  static let readStream = Query("read_stream", Schema.readStream)
  static let readStreamBack = Query("read_stream_back", Schema.readStreamBack)
  static let foldStream = Query("fold_stream", Schema.foldStream)
  static let readLog = Query("read_log", Schema.readLog)
  static let readLogBack = Query("read_log_back", Schema.readLogBack)
  static let readCategory = Query("read_category", Schema.readCategory)
  static let readCorrelation = Query("read_correlation", Schema.readCorrelation)
  static let indexOfEvent = Query("index_of_event", Schema.indexOfEvent)
  static let newestIndex = Query("newest_index", Schema.newestIndex)
  static let streamsOfCategory = Query("streams_of_category", Schema.streamsOfCategory)
  static let streamVersion = Query("stream_version", Schema.streamVersion)

  // MARK: A stream

  /// Reads a page of a stream's events after a version. `hasMore` is true if more events follow.
  public func read(
    _ stream: StreamID, after version: StreamVersion = .none, limit: Int = pageSize
  ) async throws(ReadError) -> EventPage {
    try await page(Self.readStream, [.text(stream.description), .bigint(version.value)], limit: limit)
  }

  /// Reads a page of a stream's events before a version, newest first.
  ///
  /// - Parameter version: nil: from the newest one.
  public func readBackward(
    _ stream: StreamID, before version: StreamVersion? = nil, limit: Int = pageSize
  ) async throws(ReadError) -> EventPage {
    try await page(
      Self.readStreamBack, [.text(stream.description), .bigint(version?.value ?? .max)], limit: limit)
  }

  /// The version of a stream; `none` if it has no events.
  public func version(of stream: StreamID) async throws(ReadError) -> StreamVersion {
    do { return try await tip(of: stream) } catch { throw .database(error) }
  }

  func tip(of stream: StreamID) async throws(PostgresError) -> StreamVersion {
    StreamVersion(try await pool.read(Self.streamVersion, [.text(stream.description)]).first?.get(0) ?? 0)
  }

  /// The streams of a category in the order of their names, those after one of them.
  ///
  /// - Parameter last: nil: from the first.
  public func streams(
    of category: StaticString, after last: StreamID? = nil, limit: Int = pageSize
  ) async throws(ReadError) -> [StreamID] {
    let rows = try await rows(
      Self.streamsOfCategory, [.text("\(category)"), .text(last?.description ?? ""), .bigint(Int64(limit))])
    var streams: [StreamID] = []
    for row in rows {
      let name: String
      do throws(PostgresError) { name = try row.get(0) } catch { throw .database(error) }
      if let stream = StreamID(name) { streams.append(stream) }
    }
    return streams
  }

  // MARK: The log

  /// Reads a page of the whole log from an index on. Indexes are final: no event will appear before its last one (G2). A
  /// long transaction delays readers, but no event is skipped. `LogReader` reads long stretches faster.
  public func readLog(from index: LogIndex, limit: Int = pageSize) async throws(ReadError) -> EventPage {
    try await page(Self.readLog, [.bigint(index.value)], limit: limit)
  }

  /// Reads a page of the whole log before an index, newest first.
  ///
  /// - Parameter index: nil: from the newest one.
  public func readLogBackward(before index: LogIndex? = nil, limit: Int = pageSize) async throws(ReadError) -> EventPage
  {
    try await page(Self.readLogBack, [.bigint(index?.value ?? .max)], limit: limit)
  }

  /// Reads a page of the events of one category's streams, from an index on.
  public func readCategory(
    _ category: String, from index: LogIndex, limit: Int = pageSize
  ) async throws(ReadError) -> EventPage {
    try await page(Self.readCategory, [.text(category), .bigint(index.value)], limit: limit)
  }

  /// Reads a page of the events that one request led to, from an index on.
  ///
  /// - Parameter correlation: `EventMetadata.correlationID`.
  public func readCorrelation(
    _ correlation: String, from index: LogIndex = .start, limit: Int = pageSize
  ) async throws(ReadError) -> EventPage {
    try await page(Self.readCorrelation, [.text(correlation), .bigint(index.value)], limit: limit)
  }

  /// Where an event is in the log; nil: it has no index yet, or there is no such event.
  public func index(of event: UUID) async throws(ReadError) -> LogIndex? {
    do {
      return try await pool.read(Self.indexOfEvent, [.uuid(event)]).first
        .map { row throws(PostgresError) in LogIndex(try row.get(0)) }
    } catch { throw .database(error) }
  }

  /// About the first index whose event was recorded at a moment or later. Transactions that took long may have ended out of this
  /// order, so whoever wants everything begins a little earlier.
  public func index(recordedAt moment: Time.Timestamp) async throws(ReadError) -> LogIndex {
    var (low, high) = (Int64(0), try await end().value)
    while low < high {
      let middle = low + (high - low) / 2
      guard let event = try await readLog(from: LogIndex(middle), limit: 1).events.first else { break }
      if event.recordedAt < moment { low = middle + 1 } else { high = middle }
    }
    return LogIndex(low)
  }

  /// The index that the next event will get: everything below it can be read.
  public func end() async throws(ReadError) -> LogIndex {
    do {
      return LogIndex(
        try await pool.read(Self.newestIndex).first.map { row throws(PostgresError) in try row.get(0) + 1 } ?? 0)
    } catch { throw .database(error) }
  }

  private func page(_ query: Query, _ parameters: [Parameter], limit: Int) async throws(ReadError) -> EventPage {
    // Requests one more event than the page holds: if it exists, `hasMore` is true.
    let rows = try await rows(query, parameters + [.bigint(Int64(limit) + 1)])
    var events: [RecordedEvent] = []
    events.reserveCapacity(min(rows.count, limit))
    for row in rows where events.count < limit { events.append(try await revealed(RecordedEvent(row))) }
    return EventPage(events: events, hasMore: rows.count > limit)
  }

  /// Reads the bodies of a page of a stream's events after a version, for folding: less than `read` reads.
  func readBodies(
    _ stream: StreamID, after version: StreamVersion, limit: Int
  ) async throws(ReadError) -> (bodies: [EventBody], hasMore: Bool) {
    let rows = try await rows(
      Self.foldStream, [.text(stream.description), .bigint(version.value), .bigint(Int64(limit) + 1)])
    var bodies: [EventBody] = []
    bodies.reserveCapacity(min(rows.count, limit))
    for row in rows where bodies.count < limit {
      let body: EventBody
      do throws(PostgresError) { body = try EventBody(row) } catch { throw .database(error) }
      guard !personal.isOpen else {
        bodies.append(body)
        continue
      }
      do {
        let data = try await personal.decodeData(body.data, type: body.type, in: stream)
        bodies.append(
          EventBody(
            version: body.version, id: body.id, type: body.type, schemaVersion: body.schemaVersion, data: data,
            recordedAt: body.recordedAt))
      } catch { throw .malformed(stream, body.version, "\(error)") }
    }
    return (bodies, rows.count > limit)
  }

  /// An event with its personal data as it was written.
  func revealed(_ event: RecordedEvent) async throws(ReadError) -> RecordedEvent {
    guard !personal.isOpen else { return event }
    do {
      return RecordedEvent(
        index: event.index, stream: event.stream, version: event.version, id: event.id, type: event.type,
        schemaVersion: event.schemaVersion,
        data: try await personal.decodeData(event.data, type: event.type, in: event.stream),
        storedMetadata: try await personal.decodeMetadata(event.storedMetadata, in: event.stream),
        recordedAt: event.recordedAt)
    } catch { throw .malformed(event.stream, event.version, "\(error)") }
  }

  private func rows(_ query: Query, _ parameters: [Parameter]) async throws(ReadError) -> Rows {
    do { return try await pool.read(query, parameters) } catch { throw .database(error) }
  }
}

extension EventBody {
  fileprivate init(_ row: Rows.Row) throws(PostgresError) {
    self.init(
      version: StreamVersion(try row.get(0)), id: try row.get(1), type: try row.get(2),
      schemaVersion: Int32(try row.get(3, as: Int.self)), data: try row.get(4, as: JSONText.self).bytes,
      recordedAt: try row.get(5))
  }
}

extension RecordedEvent {
  fileprivate init(_ row: Rows.Row) throws(ReadError) {
    func get<Value: PostgresDecodable>(_ column: Int, as type: Value.Type = Value.self) throws(ReadError) -> Value {
      do { return try row.get(column) } catch { throw .database(error) }
    }
    let name = try get(0, as: String.self)
    guard let stream = StreamID(name) else { throw .stream(name) }
    self.init(
      index: row.columnCount > 8 ? LogIndex(try get(8)) : nil, stream: stream, version: StreamVersion(try get(1)),
      id: try get(2), type: try get(3), schemaVersion: Int32(try get(4, as: Int.self)),
      data: try get(5, as: JSONText.self).bytes, storedMetadata: try get(6, as: JSONText.self).bytes,
      recordedAt: try get(7))
  }
}

/// Consecutive events of a stream or of the log, in order.
public struct EventPage: Sendable {
  public let events: [RecordedEvent]
  /// True if more events follow the last one.
  public let hasMore: Bool
}

public enum ReadError: Error, Equatable, Sendable, CustomStringConvertible {
  case database(PostgresError)
  /// A stored event cannot be read.
  case malformed(StreamID, StreamVersion, String)
  /// A stored event has a stream's name that cannot be read.
  case stream(String)

  public var isRetriable: Bool { if case .database(let error) = self { error.isRetriable } else { false } }

  public var description: String {
    switch self {
    case .database(let error): "\(error)"
    case .malformed(let stream, let version, let reason): "event \(version) of \(stream) cannot be read: \(reason)"
    case .stream(let name): "“\(name)” is no stream's name: category, hyphen, id"
    }
  }
}
