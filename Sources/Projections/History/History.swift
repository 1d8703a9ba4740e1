import Identifiers
public import EventStore
public import Events
import JSON
public import Logging
public import Postgres
public import Reactor

/// Reads the log for views: a stream folded to its present row, or a change for each event. One task uses it.
public final class History {
  private let log: LogReader
  private let aggregates: [String: any Aggregate.Type]

  /// - Parameter options: For a session of its own.
  public init(
    _ store: EventStore, _ options: PostgresOptions, aggregates: [any Aggregate.Type], on reactor: Reactor,
    logger: Logger
  ) {
    log = LogReader(store, options, on: reactor, logger: logger)
    self.aggregates = Dictionary(aggregates.map { (Self.category($0), $0) }) { $1 }
  }

  private static func category<State: Aggregate>(_ type: State.Type) -> String { "\(type.category)" }

  /// A category that no aggregate of this program has.
  public struct UnknownCategory: Error, CustomStringConvertible {
    public let category: String
    public var description: String { "no aggregate of this program has the category \(category)" }
  }

  /// A stretch of a category's streams.
  public struct Stretch: Sendable {
    /// In the order of the streams' names.
    public var changes: [ViewChange] = []
    public var events = 0
    public var streams = 0
    /// The last stream's name.
    public var last = ""
  }

  /// The next streams of a category, by name; nil after the last.
  ///
  /// - Parameters:
  ///   - last: The last stream of the stretch before; empty: from the first.
  ///   - everyEvent: A change for each event; otherwise one for each stream, its present row.
  public func next(
    of category: String, after last: String, limit: Int, everyEvent: Bool
  ) async throws -> Stretch? {
    let folder = try folder(category, everyEvent)
    guard
      let read = try await log.readStreams(of: category, after: last, limit: limit, { try folder.take($0) })
    else { return nil }
    var stretch = folder.finish()
    (stretch.last, stretch.streams) = (read.last, read.count)
    return stretch
  }

  /// The changes of some streams of one category.
  public func changes(of streams: [StreamID], everyEvent: Bool) async throws -> [ViewChange] {
    guard let category = streams.first?.category else { return [] }
    let folder = try folder(category, everyEvent)
    try await log.readStreams(streams) { try folder.take($0) }
    return folder.finish().changes
  }

  private func folder(_ category: String, _ everyEvent: Bool) throws(UnknownCategory) -> any StreamFolder {
    guard let aggregate = aggregates[category] else { throw UnknownCategory(category: category) }
    func make<State: Aggregate>(_ type: State.Type) -> any StreamFolder { Folder<State>(everyEvent: everyEvent) }
    return make(aggregate)
  }
}

/// Folds streams that come one after another.
private protocol StreamFolder: AnyObject {
  func take(_ events: [RecordedEvent]) throws
  /// What the streams gave.
  func finish() -> History.Stretch
}

private final class Folder<State: Aggregate>: StreamFolder {
  private let everyEvent: Bool
  private var stretch = History.Stretch()
  private var present: (stream: StreamID, version: StreamVersion, state: State?)?

  init(everyEvent: Bool) { self.everyEvent = everyEvent }

  func take(_ events: [RecordedEvent]) throws {
    for event in events {
      if present?.stream != event.stream {
        close()
        present = (event.stream, .none, nil)
      }
      let before = present?.state
      let state = State.evolve(before, try State.event(event.body, of: event.stream), at: event.version)
      present = (event.stream, event.version, state)
      stretch.events += 1
      // An event without a row on either side is not published.
      if everyEvent, before?.publishedRow != nil || state?.publishedRow != nil {
        stretch.changes.append(
          ViewChange(
            stream: event.stream, version: event.version,
            after: try state?.publishedRow.map { try JSONValue(parsing: $0) },
            event: .init(
              id: event.id.description, type: event.type, actor: try event.metadata.actor, recordedAt: event.recordedAt)
          ))
      }
    }
  }

  private func close() {
    guard !everyEvent, let present, let state = present.state else { return }
    // The row image was written by this program.
    let row = state.publishedRow.flatMap { try? JSONValue(parsing: $0) }
    stretch.changes.append(ViewChange(stream: present.stream, version: present.version, after: row))
  }

  func finish() -> History.Stretch {
    close()
    present = nil
    return stretch
  }
}
