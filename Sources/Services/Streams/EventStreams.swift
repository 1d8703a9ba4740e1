import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Reactor
import Time
import Tracing

/// Server-sent events (WHATWG HTML, section 9.2): `/documents/{id}/events` and `/events`.
struct EventStreams: Sendable {
  private let store: EventStore
  private let hub: EventHub
  private let cache: MessageCache
  private let reactor: Reactor
  private let tracer: Tracer

  /// A comment is sent after so long a silence: proxies cut connections that say nothing.
  static let heartbeat = Duration.seconds(15)
  /// How long a client waits before it connects again, in milliseconds.
  private static let retry = 2_000
  static let lastEventID = "Annals-Last-Event-ID"

  /// Members that nobody is shown, by event type.
  private let secrets: [String: [String]]

  /// - Parameter aggregates: Their events say what nobody is shown.
  init(
    _ store: EventStore, hub: EventHub, cache: MessageCache, aggregates: [any Aggregate.Type], tracer: Tracer,
    on reactor: Reactor
  ) {
    self.tracer = tracer
    (self.store, self.hub, self.cache, self.reactor) = (store, hub, cache, reactor)
    func fields<State: Aggregate>(_ aggregate: State.Type) -> [String: [String]] { State.Event.secretFields }
    secrets = aggregates.reduce(into: [:]) { $0.merge(fields($1)) { $0 + $1 } }
  }

  var group: RouteGroup {
    RouteGroup(
      "Streams",
      routes: [
        Route(
          .get, "/documents/{id}/events", "What happens to a document, as server-sent events.", right: .view,
          takesTokenInQuery: true,
          answers: [Self.answer], DocumentInputs.id, Self.header, Self.query, handler: ofDocument),
        Route(
          .get, "/events", "Every event of the log, as server-sent events.", right: .overview,
          takesTokenInQuery: true,
          answers: [Self.answer], Input<String?>(query: "category", "Only events of this category: `document`."),
          Input<String?>(query: "type", "Only events of these types, separated by commas: `DocumentSigned`."),
          Self.header, Self.query, handler: ofLog),
        Route(
          .get, "/saved-searches/events", "What the caller's saved searches find, as server-sent events.",
          right: .identified, takesTokenInQuery: true, answers: [Self.answer], Self.header, Self.query,
          handler: ofSearches),
      ])
  }

  private static let answer = Answer(
    200,
    "A stream of events. The header Annals-Last-Event-ID names the event after which it begins: `earliest` where the one that was asked for is not in the log (any more).",
    schema: .string(), mediaType: "text/event-stream")
  private static let header = Input<StreamCursor?>(
    header: "Last-Event-ID", "The id of the last event that was received: what came after it is sent first.")
  private static let query = Input<StreamCursor?>(
    query: "last_event_id", "The same as the header Last-Event-ID, which goes before it.")

  private static let earliest = "earliest"

  // MARK: A document

  @Sendable
  private func ofDocument(
    _ request: Request, _ id: UUID, _ header: StreamCursor?, _ query: StreamCursor?
  ) async throws -> Response {
    let (documents, name) = (AggregateStore<Document>(store), Document.stream(id.description))
    let (start, begin, event): (Document?, String, UUID?)
    if let cursor = header ?? query {
      let version = StreamVersion(cursor.number)
      let isThere = try await store.event(of: name, at: version)?.id == cursor.event
      (start, begin, event) =
        isThere
        ? (try await documents.load(id.description, asOf: .version(version)).state, cursor.text, cursor.event)
        : (nil, Self.earliest, nil)
    } else {
      let now = try await documents.load(id.description)
      guard let state = now.state else { throw DocumentRefusal.notFound }
      guard !state.isDeleted else { throw DocumentRefusal.deleted }
      let newest = try await store.event(of: name, at: now.version)
      (start, begin, event) = (
        state, newest.map { StreamCursor($0.version.value, $0.id).text } ?? Self.earliest, newest?.id
      )
    }
    return answer(from: begin, for: request.caller) {
      [store, hub, cache, reactor, tracer] (caller: Caller, writer: BodyWriter) in
      let feed = DocumentFeed(
        id, after: .init(document: start, event: event), for: caller, store: store, hub: hub, cache: cache, on: reactor)
      defer { feed.close() }
      while caller.left > .zero {
        switch try await feed.next(within: min(Self.heartbeat, caller.left)) {
        case .closed, .hidden, .diverged: return
        case .nothing: try await writer.write(Self.comment)
        case .messages(let messages):
          var bytes: [UInt8] = []
          for message in messages {
            bytes += Self.event(message.name, id: message.isLast ? message.cursor.text : nil, message.json)
          }
          if !bytes.isEmpty { try await writer.write(bytes) }
          for message in messages {
            guard let trace = message.trace, trace.isSampled else { continue }
            tracer.told(trace, by: "event stream", "document \(id)", caller, at: message.what.at)
          }
        }
      }
    }
  }

  // MARK: The log

  @Sendable
  private func ofLog(
    _ request: Request, _ category: String?, _ type: String?, _ header: StreamCursor?, _ query: StreamCursor?
  ) async throws -> Response {
    let filter = LogFeed.Filter(
      category: category ?? "", types: Set((type ?? "").split(separator: ",").map { String($0) }))
    let (start, begin) = try await place(header ?? query)
    return answer(from: begin, for: request.caller) {
      [store, hub, reactor, secrets] (caller: Caller, writer: BodyWriter) in
      let feed = LogFeed(filter, from: start, store: store, hub: hub, on: reactor)
      defer { feed.close() }
      var written = ContinuousClock.now
      while caller.left > .zero {
        switch try await feed.next(within: min(Self.heartbeat, caller.left)) {
        case .closed, .diverged: return
        case .nothing: try await writer.write(Self.comment)
        case .events(let events, let place):
          var bytes: [UInt8] = []
          // A long way without an event of this kind: the client hears of it, and begins here next time.
          if events.isEmpty, let place, .now - written > Self.heartbeat { bytes = Array("id: \(place.text)\n\n".utf8) }
          for event in events {
            let id = event.index.map { StreamCursor($0.value, event.id).text }
            bytes += Self.event(event.type, id: id, try Self.json(event, without: secrets[event.type]))
          }
          if !bytes.isEmpty { written = .now }
          if !bytes.isEmpty { try await writer.write(bytes) }
        }
      }
    }
  }

  /// Where a stream of the log begins: behind the event that a client has, or at the end.
  private func place(_ cursor: StreamCursor?) async throws -> (start: LogIndex, begin: String) {
    if let cursor {
      let index = LogIndex(cursor.number)
      let isThere = try await store.readLog(from: index, limit: 1).events.first?.id == cursor.event
      return isThere ? (index.next, cursor.text) : (.start, Self.earliest)
    }
    let end = try await store.end()
    let last = try await store.readLogBackward(before: end, limit: 1).events.first
    return (end, last.map { StreamCursor($0.index?.value ?? 0, $0.id).text } ?? Self.earliest)
  }

  // MARK: Saved searches

  @Sendable
  private func ofSearches(
    _ request: Request, _ header: StreamCursor?, _ query: StreamCursor?
  ) async throws -> Response {
    let (start, begin) = try await place(header ?? query)
    return answer(from: begin, for: request.caller) { [store, hub, reactor] (caller: Caller, writer: BodyWriter) in
      let feed = HitFeed(after: (start, nil), for: caller, store: store, hub: hub, on: reactor)
      defer { feed.close() }
      // Whoever is cut off before anything is found begins here next time.
      if begin != Self.earliest { try await writer.write(Array("id: \(begin)\n\n".utf8)) }
      var written = ContinuousClock.now
      while caller.left > .zero {
        var bytes: [UInt8] = []
        switch try await feed.next(within: min(Self.heartbeat, caller.left)) {
        case .closed, .diverged: return
        case .nothing: bytes = Self.comment
        case .messages(let messages):
          for message in messages { bytes += Self.event(HitFeed.messageName, id: message.cursor.text, message.json) }
          // Others' hits are no sign of life for this client.
          if bytes.isEmpty, .now - written > Self.heartbeat { bytes = Self.comment }
        }
        guard !bytes.isEmpty else { continue }
        written = .now
        try await writer.write(bytes)
      }
    }
  }

  private static func json(_ event: RecordedEvent, without secrets: [String]?) throws -> [UInt8] {
    var writer = JSONWriter(reserving: event.data.count + 256)
    let actor = try event.metadata.actor
    var data = event.data
    if let secrets, case .object(var object) = try JSONValue(parsing: data) {
      object.members.removeAll { secrets.contains($0.name) }
      data = JSONValue.object(object).bytes
    }
    writer.object {
      if let index = event.index { $0.member("index", index.value) }
      $0.member("stream", event.stream.description)
      $0.member("version", event.version.value)
      $0.member("event_id", event.id.description)
      $0.member("type", event.type)
      $0.member("actor", actor)
      $0.member("recorded_at", event.recordedAt.description)
      $0.name("data")
      $0.splice(data)
    }
    return writer.bytes
  }

  // MARK: The form

  private func answer(
    from begin: String, for caller: Caller, _ body: @escaping @Sendable (Caller, BodyWriter) async throws -> Void
  ) -> Response {
    Response(
      200,
      headers: [
        ("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"),
        (Self.lastEventID, begin),
      ],
      body: .stream(length: nil) { writer in
        try await writer.write(Array("retry: \(Self.retry)\n\n".utf8))
        try await body(caller, writer)
      })
  }

  private static let comment = Array(":\n\n".utf8)

  /// - Parameter data: JSON on one line.
  private static func event(_ name: String, id: String?, _ data: [UInt8]) -> [UInt8] {
    var bytes = Array("event: \(name)\n".utf8)
    if let id { bytes += Array("id: \(id)\n".utf8) }
    bytes += Array("data: ".utf8)
    // Stored JSON may have line ends between its parts; within a text they are escaped.
    bytes += data.filter { $0 != 0x0A && $0 != 0x0D }
    bytes += Array("\n\n".utf8)
    return bytes
  }
}
