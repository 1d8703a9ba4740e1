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
    var state = recent.document(document, at: before)
    if state == nil, before > .none {
      state = try await documents.load(document.description, asOf: .version(before)).state
    }
    let stream = Document.stream(document.description)
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
    if let state, state.version == told.last?.version { recent.keep(state, document) }
    return told
  }

  private func messages(
    _ event: DocumentEvent, _ recorded: RecordedEvent, _ before: Document?, _ after: Document?, _ document: UUID,
    _ webhook: Webhook, _ caller: Caller
  ) async throws -> [Message] {
    guard let after, webhook.selection.fits(after), Happening.types(of: event).contains(where: webhook.selection.fits)
    else { return [] }
    // What happened while its owner might not see the document is not his to know.
    let permissions = caller.seesAll ? .owner : caller.permissions(on: after)
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
  private struct State {
    var documents: [UUID: Document] = [:]
    var order: [UUID] = []
  }
  private let state = Mutex(State())
  private static let limit = 256

  func document(_ id: UUID, at version: StreamVersion) -> Document? {
    state.withLock { $0.documents[id].flatMap { $0.version == version ? $0 : nil } }
  }

  func keep(_ document: Document, _ id: UUID) {
    state.withLock { state in
      if state.documents.updateValue(document, forKey: id) == nil { state.order.append(id) }
      if state.order.count > Self.limit { state.documents[state.order.removeFirst()] = nil }
    }
  }
}
