import HTTPServer
import Time
import Domain
import EventStore
import Events
import Identifiers
import JSON
import Reactor
import Tracing
import WebSocket

/// What happens to one document, from some version on, without a gap: from the log until it has caught up, then as it comes.
///
/// One task uses it, on its reactor.
final class DocumentFeed {
  /// One thing that happened, as clients are told.
  struct Message: Sendable {
    let what: Happening
    /// `document.viewed`, `signature.given`.
    var name: String { what.type }
    /// The envelope: `type`, `data`, `timestamp`.
    let json: [UInt8]
    /// The envelope for a socket.
    let frame: WebSocketFrame
    /// Going on after it begins with the next message.
    let cursor: StreamCursor
    /// It is the last of its event's: a place between two of one event is none.
    let isLast: Bool
    /// The trace of the request that caused it.
    let trace: TraceContext?
  }

  /// Where a feed begins: the document as it was then, and the event that made it so. Nil: before it was, or unknown.
  struct Start: Sendable {
    let document: Document?
    let event: UUID?
  }

  /// Behind a version or a cursor that a client names, or at the document's present end.
  ///
  /// - Throws: A problem with status 409 if the document has no such version, or it was another event that made it.
  static func start(
    _ id: UUID, _ version: Int64?, _ cursor: StreamCursor?, _ store: EventStore
  ) async throws -> Start {
    let (documents, stream) = (AggregateStore<Document>(store), Document.stream(id.description))
    guard let wanted = cursor?.number ?? version else {
      guard let now = try await documents.load(id.description).state else { throw DocumentRefusal.notFound }
      guard !now.isDeleted else { throw DocumentRefusal.deleted }
      return Start(document: now, event: try await store.event(of: stream, at: now.version)?.id)
    }
    guard wanted > 0 else { return Start(document: nil, event: nil) }
    let event = try await store.event(of: stream, at: StreamVersion(wanted))
    guard let event, cursor == nil || event.id == cursor?.event else {
      throw Problem(
        409, "Conflict", detail: "the document has no such version \(wanted): read it again, and connect without it",
        field: cursor == nil ? "from_version" : "from")
    }
    let document = try await documents.load(id.description, asOf: .version(StreamVersion(wanted))).state
    return Start(document: document, event: event.id)
  }

  enum Step: Sendable {
    case messages([Message])
    /// Nothing came in time.
    case nothing
    /// The caller may not see the document any more.
    case hidden
    /// The event that was handed over last is not in the log any more.
    case diverged
    case closed
  }

  private let id: UUID
  private let documents: AggregateStore<Document>
  private let signatures: AggregateStore<Signature>
  private let caller: Caller
  private let cache: MessageCache
  private let reactor: Reactor
  private let inbox: Inbox
  private var state: Document?
  private var version: StreamVersion
  private var readsLog = true
  /// The event of `version`; nil: it is not known.
  private var event: UUID?
  /// The log has to say whether that event is still there: it may be another server's.
  private var asksLast = false

  // Messages have two kilobytes and a half at most.
  private static let pageSize = 50

  /// Where it goes on; nil: from the beginning, or from an event that is not known.
  var cursor: StreamCursor? { event.map { StreamCursor(version.value, $0) } }

  init(
    _ id: UUID, after start: Start, for caller: Caller, store: EventStore, hub: EventHub,
    cache: MessageCache, on reactor: Reactor
  ) {
    (self.id, state, version, event) = (id, start.document, start.document?.version ?? .none, start.event)
    (documents, signatures, self.caller) = (AggregateStore(store), AggregateStore(store), caller)
    (self.cache, self.reactor) = (cache, reactor)
    inbox = hub.subscribe(.stream(Document.stream(id.description)), on: reactor)
  }

  /// Whoever waits for the next step is told that the feed is closed.
  func wake() { inbox.end() }

  /// On its reactor.
  func close() { inbox.close() }

  /// What comes next, at most after some time.
  func next(within timeout: Duration, isolation: isolated (any Actor)? = #isolation) async throws -> Step {
    if asksLast, let event {
      let last = try await reactor.apart { [store = documents.store, id, version] in
        try await store.event(of: Document.stream(id.description), at: version)
      }
      guard last?.id == event else { return .diverged }
      asksLast = false
    }
    if readsLog {
      let page = try await reactor.apart { [store = documents.store, id, version] in
        try await store.read(Document.stream(id.description), after: version, limit: Self.pageSize)
      }
      readsLog = page.hasMore
      if !page.events.isEmpty { return try await step(page.events) }
    }
    // It has caught up, so this is how the document is now.
    guard permissions.contains(.view) else { return .hidden }
    switch await inbox.next(within: timeout) {
    case .closed: return .closed
    case .nothing: return .nothing
    case .overflow:
      (readsLog, asksLast) = (true, true)
      return .messages([])
    case .events(let events): return try await step(events)
    }
  }

  private func step(_ events: [RecordedEvent], isolation: isolated (any Actor)? = #isolation) async throws -> Step {
    var messages: [Message] = []
    for event in events where event.version > version {
      guard event.version == version.next else {
        // Some are missing in between: they come from the log, with this one.
        readsLog = true
        break
      }
      let (before, what) = (state, try Document.event(event.body, of: event.stream))
      state = Document.evolve(before, what, at: event.version)
      (version, self.event) = (event.version, event.id)
      // What happened while it was not shared with him is not his to know.
      let permissions = permissions
      guard permissions.contains(.view) else { continue }
      // Who did what is for those who may see its history.
      let key = MessageCache.Key(event: event.id, tellsActor: permissions.contains(.own))
      if let known = cache.messages(key) {
        messages += known
      } else {
        let new = try await told(event, what, before, key)
        messages += new
        cache.keep(new, key)
      }
    }
    return .messages(messages)
  }

  /// What the caller may do with the document as it is here.
  private var permissions: Permissions {
    guard !caller.seesAll, let state else { return .owner }
    return caller.permissions(on: state)
  }

  private func json(_ what: Happening, _ cursor: StreamCursor?) -> [UInt8] {
    var writer = JSONWriter(reserving: 320)
    writer.object { writer in
      writer.member("type", what.type)
      writer.name("data")
      writer.object { what.write(&$0) }
      writer.member("timestamp", what.at.microseconds / 1_000)
      if let cursor { writer.member("cursor", cursor.text) }
    }
    return writer.bytes
  }

  private func told(
    _ recorded: RecordedEvent, _ event: DocumentEvent, _ before: Document?, _ key: MessageCache.Key,
    isolation: isolated (any Actor)? = #isolation
  ) async throws -> [Message] {
    let metadata = try recorded.metadata
    let trace = metadata.traceparent.flatMap { TraceContext(traceparent: $0) }
    let happenings = try await Happening.of(
      event, recorded, from: before, to: state, id: id, actor: key.tellsActor ? metadata.actor : nil
    ) { signature in
      // Both events are of one transaction.
      try await cache.signature(signature, on: reactor) { [signatures] in
        try await signatures.load(signature.description).state
      }
    }
    // Another reader may have been faster.
    if let known = cache.messages(key) { return known }
    return happenings.enumerated().map { place, what in
      let isLast = place == happenings.count - 1
      let cursor = StreamCursor(version.value, recorded.id)
      // A place between two messages of one event is none: both come again.
      let json = json(what, isLast ? cursor : nil)
      return Message(
        what: what, json: json, frame: WebSocketFrame(text: json), cursor: cursor, isLast: isLast, trace: trace)
    }
  }
}
