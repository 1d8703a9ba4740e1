import Domain
import EventStore
import Events
import Identifiers
import JSON
import Synchronization
import Time

/// Makes the messages of a document's events, as one webhook is told of them.
struct WebhookMessages: Sendable {
  struct Message: Sendable {
    /// The same however often it is sent: `webhook-id`.
    let id: String
    let event: UUID
    let version: StreamVersion
    /// Which of its event's it is, from 0 on.
    let part: Int
    let json: [UInt8]
    /// The trace of the request that caused it.
    let trace: String?
  }

  /// What an event tells a webhook; none: it is not its business.
  struct Told: Sendable {
    let version: StreamVersion
    let messages: [Message]
  }

  private let documents: AggregateStore<Document>
  private let signatures: AggregateStore<Signature>
  private let recent: RecentDocuments

  private static let page = 50

  init(_ store: EventStore) {
    (documents, signatures) = (AggregateStore(store), AggregateStore(store))
    recent = RecentDocuments()
  }

  /// What the next events of a document tell.
  ///
  /// - Parameter first: The version to begin with.
  /// - Returns: Some events at least, in order; none if the document has no such version.
  func told(
    _ document: UUID, from first: StreamVersion, of webhook: Webhook, for caller: Caller
  ) async throws -> [Told] {
    let before = StreamVersion(first.value - 1)
    let stream = Document.stream(document.description)
    var state = try await state(of: document, at: before)
    let events = try await documents.store.read(stream, after: before, limit: Self.page).events
    var told: [Told] = []
    for recorded in events {
      let event: DocumentEvent
      do { event = try Document.event(recorded.body, of: stream) } catch {
        // Of a newer program, which tells of it. This one goes no further.
        guard told.isEmpty else { break }
        throw error
      }
      let last = state
      state = Document.evolve(last, event, at: recorded.version)
      told.append(
        Told(
          version: recorded.version,
          messages: try await messages(event, recorded, last, state, document, webhook, caller)))
    }
    if let state, let last = events.last(where: { $0.version == state.version }) {
      recent.keep(state, after: last.id, document)
    }
    return told
  }

  /// The document as it was at a version; nil: it was not there.
  private func state(of document: UUID, at version: StreamVersion) async throws -> Document? {
    guard version > .none else { return nil }
    let stream = Document.stream(document.description)
    guard let known = recent.document(document, notAfter: version) else {
      return try await documents.load(document.description, asOf: .version(version)).state
    }
    var (state, next) = (known.document, StreamVersion(known.document.version.value - 1))
    while true {
      let page = try await documents.store.read(stream, after: next, limit: Self.page)
      // Another server may have made another event of it.
      if next < state.version, page.events.first?.id != known.event {
        return try await documents.load(document.description, asOf: .version(version)).state
      }
      for event in page.events where event.version > state.version && event.version <= version {
        state = Document.evolve(state, try Document.event(event.body, of: stream), at: event.version) ?? state
      }
      guard state.version < version, page.hasMore, let last = page.events.last else { return state }
      next = last.version
    }
  }

  private func messages(
    _ event: DocumentEvent, _ recorded: RecordedEvent, _ before: Document?, _ after: Document?, _ document: UUID,
    _ webhook: Webhook, _ caller: Caller
  ) async throws -> [Message] {
    guard let after, webhook.selection.fits(document: document), webhook.selection.fits(after),
      Happening.types(of: event).contains(where: webhook.selection.fits)
    else { return [] }
    // What happened while its owner might not see the document is not his to know.
    let permissions = caller.seesAll ? .owner : caller.permissions(on: after, at: recorded.recordedAt)
    guard permissions.contains(.view) else { return [] }
    let metadata = try recorded.metadata
    let happenings = try await Happening.of(
      event, recorded, from: before, to: after, id: document, actor: permissions.contains(.own) ? metadata.actor : nil
    ) { try await signatures.load($0.description).state }
    let index = try await documents.store.index(of: recorded.id)
    return happenings.enumerated().filter { webhook.selection.fits(event: $0.element.type) }.map { place, what in
      var writer = JSONWriter(reserving: 512)
      writer.object { writer in
        writer.member("type", what.type)
        writer.member("timestamp", what.at.description)
        writer.name("data")
        writer.object {
          what.write(&$0)
          $0.member("event_id", recorded.id.description)
          if let index { $0.member("index", index.value) }
        }
      }
      let part = place == happenings.count - 1 ? "" : "_\(place)"
      return Message(
        id: "msg_\(recorded.id)\(part)", event: recorded.id, version: recorded.version, part: place,
        json: writer.bytes, trace: metadata.traceparent)
    }
  }
}

/// Documents as they were when their last message was made: the next one goes on from there.
private final class RecentDocuments: Sendable {
  struct Entry: Sendable {
    let document: Document
    /// The event of its version.
    let event: UUID
  }

  private let state = Mutex<(entries: [UUID: Entry], order: [UUID])>(([:], []))
  private static let limit = 256

  func document(_ id: UUID, notAfter version: StreamVersion) -> Entry? {
    state.withLock { $0.entries[id].flatMap { $0.document.version <= version ? $0 : nil } }
  }

  func keep(_ document: Document, after event: UUID, _ id: UUID) {
    state.withLock { state in
      if state.entries.updateValue(Entry(document: document, event: event), forKey: id) == nil {
        state.order.append(id)
      }
      if state.order.count > Self.limit { state.entries[state.order.removeFirst()] = nil }
    }
  }
}
