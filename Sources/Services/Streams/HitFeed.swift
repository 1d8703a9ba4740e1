import Identifiers
import Time
import Domain
import EventStore
import Events
import JSON
import Reactor
import WebSocket

/// What the saved searches of one caller find, from some place in the log on, without a gap.
///
/// One task uses it, on its reactor.
final class HitFeed: SocketFeed {
  private(set) var cursor: StreamCursor?
  private let feed: LogFeed
  private let caller: Caller
  private let documents: AggregateStore<Document>
  /// Events that were read and not yet handed over.
  private var waiting: ArraySlice<RecordedEvent> = []
  private var hasBegun = false

  /// So many messages fit beside each other, whatever titles they have.
  private static let page = 50

  private static let category = "\(SearchHit.category)"

  /// Behind the event that a client names, or at the end of the log.
  ///
  /// - Returns: nil if the log has no such event.
  static func start(_ cursor: StreamCursor?, _ store: EventStore) async throws -> (LogIndex, StreamCursor?)? {
    guard let cursor else {
      let end = try await store.end()
      let last = try await store.readLogBackward(before: end, limit: 1).events.first
      return (end, last.flatMap { last in last.index.map { StreamCursor($0.value, last.id) } })
    }
    let index = LogIndex(cursor.number)
    guard try await store.readLog(from: index, limit: 1).events.first?.id == cursor.event else { return nil }
    return (index.next, cursor)
  }

  init(
    after start: (index: LogIndex, cursor: StreamCursor?), for caller: Caller, store: EventStore,
    hub: EventHub, on reactor: Reactor
  ) {
    (self.caller, cursor) = (caller, start.cursor)
    documents = AggregateStore(store)
    feed = LogFeed(
      .init(category: Self.category), from: start.index, store: store, hub: hub, on: reactor)
  }

  func wake() { feed.wake() }
  func close() { feed.close() }

  static let messageName = "search.hit"

  /// One hit, as clients are told.
  struct Message: Sendable {
    let json: [UInt8]
    let cursor: StreamCursor
  }

  enum Step: Sendable {
    case messages([Message])
    case nothing
    case diverged
    case closed
  }

  func next(within timeout: Duration, isolation: isolated (any Actor)? = #isolation) async throws -> Step {
    if waiting.isEmpty {
      switch try await feed.next(within: timeout) {
      case .nothing: return .nothing
      case .closed: return .closed
      case .diverged: return .diverged
      case .events(let events, _): waiting = events[...]
      }
    }
    var messages: [Message] = []
    for event in waiting.prefix(Self.page) {
      if let message = try await message(event) { messages.append(message) }
      if let index = event.index { cursor = StreamCursor(index.value, event.id) }
    }
    waiting = waiting.dropFirst(Self.page)
    return .messages(messages)
  }

  /// The first message of a socket: the place from which it listens, for whoever is cut off before anything is found.
  private func greeting(_ cursor: StreamCursor) -> SocketStep.Message {
    var writer = JSONWriter(reserving: 128)
    writer.object { writer in
      writer.member("type", "searches.listening")
      writer.name("data")
      writer.object { _ in }
      writer.member("timestamp", Timestamp.now().microseconds / 1_000)
      writer.member("cursor", cursor.text)
    }
    return SocketStep.Message(frame: WebSocketFrame(text: writer.bytes), cursor: cursor, isLast: true)
  }

  func step(within timeout: Duration, isolation: isolated (any Actor)?) async throws -> SocketStep {
    if !hasBegun {
      hasBegun = true
      if let cursor { return .messages([greeting(cursor)]) }
    }
    return try await found(within: timeout)
  }

  private func found(within timeout: Duration, isolation: isolated (any Actor)? = #isolation) async throws -> SocketStep
  {
    switch try await next(within: timeout) {
    case .messages(let messages):
      .messages(
        messages.map {
          SocketStep.Message(frame: WebSocketFrame(text: $0.json), cursor: $0.cursor, isLast: true)
        })
    case .nothing: .nothing
    case .diverged: .diverged
    case .closed: .closed
    }
  }

  /// nil: it is another's, or of a document that the caller may not see now.
  private func message(
    _ event: RecordedEvent, isolation: isolated (any Actor)? = #isolation
  ) async throws -> Message? {
    // Events of a newer program are that program's.
    guard let index = event.index, SearchHitEvent.schemaVersions[event.type] != nil else { return nil }
    let hit = SearchHit.evolve(nil, try SearchHit.event(event.body, of: event.stream), at: event.version)
    guard let hit, caller.isOwner(hit.owner) else { return nil }
    guard let document = try await documents.load(hit.document.description).state, !document.isDeleted,
      caller.seesAll || caller.permissions(on: document).contains(.view)
    else { return nil }
    let cursor = StreamCursor(index.value, event.id)
    var writer = JSONWriter(reserving: 320)
    writer.object { writer in
      writer.member("type", Self.messageName)
      writer.name("data")
      writer.object {
        $0.member("search_id", hit.search.description)
        $0.member("search_name", hit.name)
        $0.member("document_id", hit.document.description)
        $0.member("title", document.title)
        $0.member("version", hit.documentVersion.value)
      }
      writer.member("timestamp", event.recordedAt.microseconds / 1_000)
      writer.member("cursor", cursor.text)
    }
    return Message(json: writer.bytes, cursor: cursor)
  }
}
