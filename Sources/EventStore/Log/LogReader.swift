public import Events
import Identifiers
public import Logging
public import Postgres
public import Reactor
import Schema
import Time

/// Reads long stretches of the log by binary COPY, on a session of its own: the connections of requests are left alone, and
/// no more than a megabyte or so is in memory at a time.
///
/// Storage order is index order, so a stretch is read from the events alone and counted on.
public final class LogReader {
  private let options: PostgresOptions
  private let store: EventStore
  private let reactor: Reactor
  private let logger: Logger
  private var session: PostgresSession?

  static let bounds = Query("log_bounds", Schema.logBounds)

  /// Maximum number of indexes of one COPY.
  static let stretch: Int64 = 100_000

  /// - Parameters:
  ///   - store: Its personal fields are shown as they were written.
  ///   - reactor: The caller's: a reader belongs to one task on it.
  public init(_ store: EventStore, _ options: PostgresOptions, on reactor: Reactor, logger: Logger) {
    (self.store, self.options, self.reactor, self.logger) = (store, options, reactor, logger)
  }

  deinit { session?.close() }

  /// Which events are read.
  public enum Selection: Sendable {
    case all
    /// Those of one category's streams.
    case category(String)
  }

  /// Reads the events from an index up to the newest one, or to another, and hands them over in order.
  ///
  /// - Parameters:
  ///   - end: The index after the last; nil: what has an index by now.
  ///   - body: Called with some events, never none. The server waits meanwhile.
  /// - Returns: The index after the last one that was looked at.
  public func read(
    _ selection: Selection = .all, from start: LogIndex, to end: LogIndex? = nil,
    _ body: ([RecordedEvent]) async throws -> Void
  ) async throws -> LogIndex {
    var next = start
    while true {
      let limit = min(next.value + Self.stretch, end?.value ?? .max)
      guard next.value < limit, let range = try await range(from: next, to: limit) else { return next }
      try await copy(Self.query(selection, range, next), next, body)
      next = LogIndex(range.newest + 1)
    }
  }

  static let nextStreams = Query("next_streams", Schema.nextStreams)

  /// Reads whole streams of a category, one after another by name, and hands over their events, each stream's in order.
  ///
  /// - Parameters:
  ///   - last: The name of the last stream that was read; empty: from the first.
  ///   - limit: The number of streams.
  ///   - body: Called with some events, never none. The server waits meanwhile.
  /// - Returns: The name of the last stream that was read, and their number; nil: there was none left.
  public func readStreams(
    of category: String, after last: String, limit: Int, _ body: ([RecordedEvent]) async throws -> Void
  ) async throws -> (last: String, count: Int)? {
    let session = try await opened()
    guard
      let row = try await session.query(
        Self.nextStreams, [.text(category), .text(last), .bigint(Int64(limit))]
      ).first
    else { return nil }
    let (end, count) = (try row.get(0, as: String.self), try row.get(1, as: Int.self))
    try await copy(Self.streams(after: max(last, "\(category)-"), to: end), nil, body)
    return (end, count)
  }

  /// Reads the whole histories of some streams, one after another by name.
  public func readStreams(_ streams: [StreamID], _ body: ([RecordedEvent]) async throws -> Void) async throws {
    let names = streams.map { quotedLiteral($0.description) }.joined(separator: ", ")
    guard !streams.isEmpty else { return }
    try await copy(Self.streams(where: "e.stream_id in (\(names))"), nil, body)
  }

  private static func streams(after last: String, to end: String) -> Query {
    streams(where: "e.stream_id > \(quotedLiteral(last)) and e.stream_id <= \(quotedLiteral(end))")
  }

  private static func streams(where condition: String) -> Query {
    Query(
      "read_streams_copy",
      "copy (select \(columns) from annals.events e where \(condition) order by e.stream_id, e.version) to stdout (format binary)"
    )
  }

  private static let columns =
    "e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.data, e.metadata, e.recorded_at"

  /// Hands over the rows of the COPY as the server sends them, undecoded, and returns the index after the last.
  public func readRaw(from start: LogIndex, _ row: (UnsafeRawBufferPointer) -> Void) async throws -> LogIndex {
    var next = start
    while let range = try await range(from: next, to: next.value + Self.stretch) {
      try await session?.copyOut(Self.query(.all, range, next), row)
      next = LogIndex(range.newest + 1)
    }
    return next
  }

  private struct Range {
    let first: Position
    let last: Position
    let newest: Int64
  }

  /// The places of a stretch in storage order; nil if no index is there.
  private func range(from start: LogIndex, to limit: Int64) async throws -> Range? {
    let session = try await opened()
    guard let row = try await session.query(Self.bounds, [.bigint(start.value), .bigint(limit)]).first else {
      return nil
    }
    func position(_ column: Int) throws(PostgresError) -> Position {
      Position(
        epoch: Int32(try row.get(column, as: Int.self)),
        transaction: try row.get(column + 1, as: TransactionID.self).value,
        sequence: try row.get(column + 2))
    }
    return Range(first: try position(0), last: try position(4), newest: try row.get(3))
  }

  private func opened() async throws -> PostgresSession {
    if let session { return session }
    let session = try await PostgresSession.connect(options, on: reactor, logger: logger)
    self.session = session
    return session
  }

  private static func query(_ selection: Selection, _ range: Range, _ start: LogIndex) -> Query {
    let place = { (position: Position) in
      "(\(position.epoch), '\(position.transaction)'::xid8, \(position.sequence))"
    }
    let select =
      switch selection {
      case .all:
        """
        select \(columns) from annals.events e
        where (e.epoch, e.xid, e.sequence) between \(place(range.first)) and \(place(range.last))
        order by e.epoch, e.xid, e.sequence
        """
      case .category(let category):
        """
        select \(columns), i.index from annals.log_index i
        join annals.events e on (e.epoch, e.xid, e.sequence) = (i.epoch, i.xid, i.sequence)
        where i.category = \(quotedLiteral(category)) and i.index between \(start.value) and \(range.newest)
        order by i.index
        """
      }
    return Query("read_log_copy", "copy (\(select)) to stdout (format binary)")
  }

  private func copy(
    _ query: Query, _ start: LogIndex?, _ body: ([RecordedEvent]) async throws -> Void
  ) async throws {
    var copy = BinaryCopy()
    var columns: [UnsafeRawBufferPointer?] = []
    var events: [RecordedEvent] = []
    var index = start
    var failure: (any Error)?
    func handOver() async throws {
      if let failure { throw failure }
      guard !events.isEmpty else { return }
      let full = events
      events.removeAll(keepingCapacity: true)
      if store.personal.isOpen { return try await body(full) }
      var revealed: [RecordedEvent] = []
      for event in full { revealed.append(try await store.revealed(event)) }
      try await body(revealed)
    }
    do {
      let session = try await opened()
      try await session.copyOut(query, pause: handOver) { message in
        guard failure == nil else { return }
        do {
          guard try copy.row(message, into: &columns) else { return }
          events.append(try RecordedEvent(columns, index: index))
          index = index?.next
        } catch { failure = error }
      }
      try await handOver()
    } catch {
      // In the midst of a COPY the session is of no use any more.
      session?.close()
      session = nil
      throw error
    }
  }
}

extension RecordedEvent {
  /// - Parameter index: Used where the columns have none.
  fileprivate init(_ columns: [UnsafeRawBufferPointer?], index: LogIndex?) throws {
    func bytes(_ column: Int) throws -> UnsafeRawBufferPointer {
      guard column < columns.count, let bytes = columns[column] else {
        throw PostgresError.decoding(column: column, expected: "there")
      }
      return bytes
    }
    func integer<Value: FixedWidthInteger>(_ column: Int, _ type: Value.Type) throws -> Value {
      let bytes = try bytes(column)
      guard bytes.count == Value.bitWidth / 8 else {
        throw PostgresError.decoding(column: column, expected: "\(Value.self)")
      }
      return Value(bigEndian: bytes.loadUnaligned(as: Value.self))
    }
    func text(_ column: Int) throws -> String { String(decoding: try bytes(column), as: UTF8.self) }
    let name = try text(0)
    guard let stream = StreamID(name) else { throw ReadError.stream(name) }
    let id = try bytes(2)
    guard id.count == 16 else { throw PostgresError.decoding(column: 2, expected: "UUID") }
    self.init(
      index: columns.count > 8 ? LogIndex(try integer(8, Int64.self)) : index, stream: stream,
      version: StreamVersion(try integer(1, Int64.self)),
      id: UUID(
        high: UInt64(bigEndian: id.loadUnaligned(as: UInt64.self)),
        low: UInt64(bigEndian: id.loadUnaligned(fromByteOffset: 8, as: UInt64.self))),
      type: try text(3), schemaVersion: try integer(4, Int32.self), data: Array(try bytes(5)),
      storedMetadata: Array(try bytes(6)),
      recordedAt: Timestamp(microseconds: try integer(7, Int64.self) &+ Timestamp.postgresEpoch))
  }
}
