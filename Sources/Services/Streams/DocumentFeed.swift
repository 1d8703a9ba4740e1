import Time
import Domain
import EventStore
import Events
import Identifiers
import JSON
import Reactor
import WebSocket

/// What happens to one document, from some version on, without a gap: from the log until it has caught up, then as it comes.
///
/// One task uses it, on its reactor.
final class DocumentFeed {
  /// One thing that happened, as clients are told.
  struct Message: Sendable {
    /// `document.viewed`, `signature.given`.
    let name: String
    /// The envelope: `type`, `data`, `timestamp`.
    let json: [UInt8]
    /// The envelope for a socket.
    let frame: WebSocketFrame
    /// Going on after it begins with the next message.
    let cursor: StreamCursor
    /// It is the last of its event's: a place between two of one event is none.
    let isLast: Bool
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

  /// - Parameters:
  ///   - document: As it was when the feed begins; nil: before it was.
  ///   - event: That made it so.
  init(
    _ id: UUID, after document: Document?, event: UUID?, for caller: Caller, store: EventStore, hub: EventHub,
    cache: MessageCache, on reactor: Reactor
  ) {
    (self.id, state, version, self.event) = (id, document, document?.version ?? .none, event)
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
      let last = try await documents.store.event(of: Document.stream(id.description), at: version)
      guard last?.id == event else { return .diverged }
      asksLast = false
    }
    if readsLog {
      let page = try await documents.store.read(
        Document.stream(id.description), after: version, limit: Self.pageSize)
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

  private func told(
    _ recorded: RecordedEvent, _ event: DocumentEvent, _ before: Document?, _ key: MessageCache.Key,
    isolation: isolated (any Actor)? = #isolation
  ) async throws -> [Message] {
    let actor = key.tellsActor ? try recorded.metadata.actor : nil
    func message(_ name: String, _ signature: Signature? = nil, isLast: Bool = true) -> Message {
      var writer = JSONWriter(reserving: 320)
      let cursor = StreamCursor(version.value, recorded.id)
      writer.object { writer in
        writer.member("type", name)
        writer.name("data")
        writer.object {
          $0.member("id", id.description)
          $0.member("title", state?.title ?? "")
          $0.member("old_status", orNull: before?.status.rawValue)
          $0.member("new_status", orNull: state?.status.rawValue)
          $0.member("version", version.value)
          if let actor { $0.member("actor", actor) }
          if let signature {
            $0.member("signature_id", signature.id.description)
            $0.member("signer_email", signature.signerEmail)
            $0.member("signer_name", signature.signerName)
          }
        }
        writer.member("timestamp", recorded.recordedAt.microseconds / 1_000)
        // A place between two messages of one event is none: both come again.
        if isLast { writer.member("cursor", cursor.text) }
      }
      return Message(
        name: name, json: writer.bytes, frame: WebSocketFrame(text: writer.bytes), cursor: cursor, isLast: isLast)
    }
    switch event {
    case .created: return [message("document.created")]
    case .retitled: return [message("document.retitled")]
    case .contentReplaced: return [message("document.content_replaced")]
    case .statusChanged(_, let to, _): return [message("document.\(to.rawValue)")]
    case .shared: return [message("document.shared")]
    case .unshared: return [message("document.unshared")]
    case .tagged: return [message("document.tagged")]
    case .labelled: return [message("document.version_labelled")]
    case .deleted: return [message("document.deleted")]
    case .signed(let id, _, _):
      // Both events are of one transaction.
      let signature = try await cache.signature(id, on: reactor) { [signatures] in
        try await signatures.load(id.description).state
      }
      // Another reader may have been faster.
      if let known = cache.messages(key) { return known }
      return [message("signature.given", signature, isLast: false), message("document.signed")]
    }
  }
}
