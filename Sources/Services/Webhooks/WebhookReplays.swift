import Domain
import EventStore
import Events
import Identifiers
import Postgres
import Time

/// What is done for webhooks beside new events, piece by piece: a range of the log is noted once more, and what a removed one was still to
/// be told is forgotten. How far it has come is in its name.
struct WebhookReplays: Sendable {
  private let store: EventStore
  private let due: DueTimes
  private let queues: WebhookQueues
  private let known: KnownWebhooks

  private static let page = 1_000
  private static let entries = 4

  init(_ store: EventStore, _ pool: PostgresPool) {
    (self.store, queues, known) = (store, WebhookQueues(pool), KnownWebhooks(store))
    due = DueTimes(store, category: "webhook_work")
  }

  /// Before the event that says so is appended.
  func note(replay webhook: UUID, from: LogIndex, before: LogIndex) async throws {
    try await due.note("\(webhook).\(from.value).\(before.value)", at: .now())
  }

  func note(removed webhook: UUID) async throws { try await due.note("\(webhook)", at: .now()) }

  func look(_ failed: (String, any Error) -> Void) async throws -> Bool {
    let entries = try await due.due(limit: Self.entries)
    for entry in entries {
      do { try await step(entry) } catch {
        if Task.isCancelled { throw CancellationError() }
        failed("webhook \(entry.id)", error)
      }
    }
    return !entries.isEmpty
  }

  private func step(_ entry: DueTimes.Entry) async throws {
    let parts = entry.id.split(separator: ".")
    guard let id = parts.first.flatMap({ UUID($0) }) else { return try await due.forget(entry.id) }
    let webhook = try await known.webhooks()[id]
    if parts.count == 3, let from = Int64(parts[1]), let before = Int64(parts[2]) {
      guard let webhook, webhook.webhook.disabled == nil else { return try await due.forget(entry.id) }
      let next = try await note(webhook, from: LogIndex(from), before: LogIndex(before))
      if let next { try await note(replay: id, from: next, before: LogIndex(before)) }
      return try await due.forget(entry.id)
    }
    // Noted before the event: it may still be there.
    if webhook != nil { return try await due.settle(entry, next: entry.isOld ? nil : Self.soon()) }
    if try await queues.forget(id) { return try await due.note(entry.id, at: .now()) }
    try await due.forget(entry.id)
  }

  private static func soon() -> Timestamp { Timestamp(microseconds: Timestamp.now().microseconds + 2_000_000) }

  /// - Returns: Where it goes on; nil: nowhere.
  private func note(_ entry: KnownWebhooks.Entry, from: LogIndex, before: LogIndex) async throws -> LogIndex? {
    let page = try await store.readCategory("\(Document.category)", from: from, limit: Self.page)
    var notes = WebhookNotes()
    for event in page.events { if let index = event.index, index < before { notes.add(event, entry) } }
    try await queues.note(notes.all, isReplay: true)
    guard page.hasMore, let next = page.events.last?.index?.next, next < before else { return nil }
    return next
  }
}

/// Documents of which webhooks are to be told, gathered from events.
struct WebhookNotes {
  private struct Key: Hashable { let webhook, document: UUID }
  private var notes: [Key: WebhookQueues.Note] = [:]

  var all: [WebhookQueues.Note] {
    // In one order in all processes: they wait for each other's rows, and never in a circle.
    notes.values.sorted { ($0.webhook, $0.document) < ($1.webhook, $1.document) }
  }

  /// Adds an event of a document, if a webhook may want it. What it is told of it, and whether, is decided when it is sent.
  mutating func add(_ event: RecordedEvent, _ entry: KnownWebhooks.Entry) {
    let selection = entry.webhook.selection
    guard let document = UUID(event.stream.id), selection.fits(document: document) else { return }
    // One of a newer program is that program's to tell.
    if let known = try? Document.event(event.body, of: event.stream),
      !Happening.types(of: known).contains(where: selection.fits)
    {
      return
    }
    let key = Key(webhook: entry.webhook.id, document: document)
    notes[
      key,
      default: .init(webhook: key.webhook, document: document, first: event.version, newest: event.version)
    ].newest = event.version
  }
}
