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
  ///
  /// - Returns: False if the webhook has a replay that is not done.
  func begin(_ webhook: UUID, from: LogIndex, before: LogIndex) async throws -> Bool {
    guard try await queues.begin(replay: webhook, from: from, before: before) else { return false }
    try await due.note("\(webhook)\(Self.replay)", at: .now())
    return true
  }

  func note(removed webhook: UUID) async throws { try await due.note("\(webhook)", at: .now()) }

  private static let replay = ".replay"

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
    guard let id = UUID(entry.id.prefix(36)) else { return try await due.settle(entry, next: nil) }
    let webhook = try await known.webhooks()[id]
    guard entry.id.hasSuffix(Self.replay) else {
      // Noted before the event: it may still be there.
      if webhook != nil { return try await due.settle(entry, next: entry.isOld ? nil : Self.soon()) }
      return try await due.settle(entry, next: try await queues.forget(id) ? .now() : nil)
    }
    guard let (next, before) = try await queues.replay(of: id) else { return try await due.settle(entry, next: nil) }
    guard let webhook, webhook.webhook.disabled == nil else {
      // It may not be known yet that it was registered, or enabled.
      if entry.isOld { try await queues.advance(replay: id, from: next, to: nil) }
      return try await due.settle(entry, next: entry.isOld ? nil : Self.soon())
    }
    let page = try await store.readCategory("\(Document.category)", from: next, limit: Self.page)
    let events = page.events.filter { $0.index.map { $0 < before } ?? false }
    if let last = events.last?.index {
      // What was not noted yet must not come behind what is noted here.
      let place = try await Subscription.place(of: WebhookSender.reader, in: store)
      guard let place, place > last else { return try await due.settle(entry, next: Self.soon()) }
      try await note(events, webhook)
    }
    let left = page.hasMore && events.count == page.events.count ? events.last?.index?.next : nil
    try await queues.advance(replay: id, from: next, to: left)
    try await due.settle(entry, next: left == nil ? nil : .now())
  }

  private static func soon() -> Timestamp { Timestamp(microseconds: Timestamp.now().microseconds + 500_000) }

  private func note(_ events: [RecordedEvent], _ entry: KnownWebhooks.Entry) async throws {
    var notes = WebhookNotes()
    for event in events { notes.add(event, [entry]) }
    var seen: [WebhookQueues.Note] = []
    for note in notes.all where try await isSeen(note.document, by: entry.reader) { seen.append(note) }
    try await queues.note(seen, isReplay: true)
  }

  /// What somebody may not see any more is not sent to him once more.
  private func isSeen(_ document: UUID, by reader: Caller) async throws -> Bool {
    if reader.seesAll { return true }
    guard let now = try await AggregateStore<Document>(store).load(document.description).state else { return false }
    return reader.permissions(on: now).contains(now.isDeleted ? .own : .view)
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

  /// Adds an event of a document for those webhooks that may want it. What they are told of it, and whether, is decided when it is sent.
  mutating func add(
    _ event: RecordedEvent, _ entries: [KnownWebhooks.Entry],
    where isTold: (KnownWebhooks.Entry) -> Bool = { _ in true }
  ) {
    guard let document = UUID(event.stream.id) else { return }
    // One of a newer program is that program's to tell.
    let types = (try? Document.event(event.body, of: event.stream)).map(Happening.types)
    for entry in entries where isTold(entry) {
      let selection = entry.webhook.selection
      guard selection.fits(document: document), types?.contains(where: selection.fits) ?? true else { continue }
      let key = Key(webhook: entry.webhook.id, document: document)
      notes[
        key, default: .init(webhook: key.webhook, document: document, first: event.version, newest: event.version)
      ].newest = event.version
    }
  }
}
