import Domain
import Elasticsearch
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Lifecycle
import Logging
import Metrics
import Reactor
import Synchronization
import Time

/// Runs saved searches on documents that change, and notes what they find for the first time as hits.
///
/// One process follows the log; after a stop it goes on where it was, and what was found already is not found again: a hit has a
/// stream of its own. A change is looked at once the search index has it. One that the index does not get in time is put aside,
/// holds up no other, and is looked at again for an hour.
final class SearchWatcher: Worker {
  let name = "saved searches"
  private let context: Context
  private let service: SearchService
  private let known: KnownSearches
  private let late: DueTimes
  private let hits: AggregateStore<SearchHit>
  private let types: AggregateStore<DocumentType>
  private let logger: Logger
  private let found: Counter
  private let state = Mutex<(following: String?, late: String?)>((nil, nil))

  /// Documents that are looked at together, and searches in one request.
  private static let documents = 500
  private static let searches = 50
  /// How long all wait for the search index.
  private static let patience = Duration.seconds(20)
  /// When a document is looked at again that was put aside, in microseconds.
  private static let pause: Int64 = 30_000_000

  init(_ context: Context) {
    (self.context, service) = (context, SearchService(context))
    known = KnownSearches(context.store)
    late = DueTimes(context.store, category: "search_late")
    (hits, types) = (AggregateStore(context.store), AggregateStore(context.store))
    logger = context.logger.labelled("searches")
    found = context.metrics.counter(
      "annals_search_hits_total", help: "Documents that saved searches have found for the first time.")
  }

  var problem: String? { get async { state.withLock { $0.following ?? $0.late } } }

  func run(until stop: StopSignal) async throws {
    try await stop.cancels {
      await self.context.reactor.run {
        await withTaskGroup { group in
          group.addTask(executorPreference: self.context.reactor) { await self.follow() }
          group.addTask(executorPreference: self.context.reactor) { await self.lookAgain() }
        }
      }
    }
  }

  // MARK: The log

  private func follow() async {
    let subscription = Subscription(
      "saved-searches", .category("\(Document.category)"), of: context.store, context.postgres,
      beginning: { [store = context.store] in
        // Before a search was saved there was nothing to find.
        let first = try await store.readCategory("\(SearchList.category)", from: .start, limit: 1).events.first
        if let index = first?.index { return index }
        return try await store.end()
      }, on: context.reactor, logger: context.logger, metrics: context.metrics)
    var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
    while !Task.isCancelled {
      do {
        try await subscription.run { events in
          try await self.look(at: events)
          backoff.reset()
          self.state.withLock { $0.following = nil }
        }
      } catch is CancellationError { return } catch {
        if Task.isCancelled { return }
        state.withLock { $0.following = "saved searches are not run: \(error)" }
        logger.warning("Saved searches stand still", metadata: [.error: "\(error)"])
        do {
          // The log has lost its end or is another one: what is found again is no new hit.
          if error is Subscription.Diverged {
            known.reset()
            try await subscription.forget()
          }
          try await context.reactor.sleep(for: backoff.next())
        } catch { if Task.isCancelled { return } }
      }
    }
  }

  /// A change of a document: its version, and where in the log it is.
  private struct Change {
    var version: Int64
    var index: LogIndex
  }

  private func look(at events: [RecordedEvent]) async throws {
    guard try await !known.searches().isEmpty else { return }
    var changes: [String: Change] = [:]
    for event in events {
      guard let index = event.index else { continue }
      // The newest one is what the index will have.
      changes[event.stream.id] = Change(version: event.version.value, index: index)
    }
    var rest = Array(changes)[...]
    while !rest.isEmpty {
      let part = rest.prefix(Self.documents)
      rest = rest.dropFirst(part.count)
      let wanted = Dictionary(uniqueKeysWithValues: part.map { ($0.key, $0.value) })
      let missing = try await waitForIndex(wanted, within: Self.patience)
      for id in missing {
        try await late.note(id, at: Self.later())
        logger.warning(
          "The search index does not have a change in time: saved searches are run on it later",
          metadata: ["document": "\(id)"])
      }
      try await run(on: wanted.filter { !missing.contains($0.key) }.mapValues(\.index))
    }
  }

  private static func later() -> Timestamp { Timestamp(microseconds: Timestamp.now().microseconds + pause) }

  /// Waits until the search index has changes, and makes them searchable.
  ///
  /// - Returns: The documents whose changes it does not have in time.
  private func waitForIndex(_ changes: [String: Change], within patience: Duration) async throws -> Set<String> {
    let deadline = ContinuousClock.now + patience
    var backoff = Backoff(first: .milliseconds(50), limit: .seconds(1))
    var missing = Set(changes.keys)
    while true {
      let versions = try await service.versions(of: Array(missing))
      missing = missing.filter { (versions[$0] ?? 0) < (changes[$0]?.version ?? 0) }
      guard !missing.isEmpty, .now < deadline else { break }
      try await context.reactor.sleep(for: backoff.next())
    }
    try await service.refresh()
    return missing
  }

  // MARK: What was late

  private func lookAgain() async {
    var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
    while !Task.isCancelled {
      do {
        let entries = try await late.due(limit: 50)
        for entry in entries {
          let version = try await context.store.version(of: Document.stream(entry.id))
          let missing = try await waitForIndex(
            [entry.id: Change(version: version.value, index: .start)], within: .zero)
          guard !missing.isEmpty else {
            // When it was changed is not known any more: all searches that there are now are run.
            try await run(on: [entry.id: LogIndex(.max)])
            try await late.forget(entry.id)
            continue
          }
          if entry.isOld {
            logger.error(
              "The search index does not get a document: saved searches do not find it. See annals project parked",
              metadata: ["document": "\(entry.id)"])
          }
          try await late.settle(entry, next: entry.isOld ? nil : Self.later())
        }
        state.withLock { $0.late = nil }
        backoff.reset()
        if entries.isEmpty { try await context.reactor.sleep(for: .seconds(5)) }
      } catch is CancellationError { return } catch {
        if Task.isCancelled { return }
        state.withLock { $0.late = "saved searches are not run on changes that were late: \(error)" }
        do { try await context.reactor.sleep(for: backoff.next()) } catch { return }
      }
    }
  }

  // MARK: Running

  /// Runs all searches on some documents.
  ///
  /// - Parameter documents: By id, where in the log each was changed. Searches that were saved later are not run on it.
  private func run(on documents: [String: LogIndex]) async throws {
    guard !documents.isEmpty else { return }
    var (runnable, definitions) = (
      [(KnownSearches.Entry, SearchText, SearchService.Filter)](), [String: DocumentType]()
    )
    for entry in try await known.searches() {
      do {
        let query = try SavedQuery(json: .object(entry.search.query))
        if let type = query.type, definitions[type.text] == nil {
          definitions[type.text] = try await types.load(type.text).state
        }
        let (text, filter) = try query.search(for: Caller(entry), query.type.flatMap { definitions[$0.text] })
        runnable.append((entry, text, filter))
      } catch let error where error is JSONError || error is Problem { leaveOut(entry, "\(error)") }
    }
    var rest = runnable[...]
    while !rest.isEmpty {
      let part = rest.prefix(Self.searches)
      rest = rest.dropFirst(part.count)
      let results = try await service.matches(part.map { ($0.1, $0.2) }, among: Array(documents.keys))
      for ((entry, _, _), matches) in zip(part, results) {
        guard let matches else {
          leaveOut(entry, "Elasticsearch refuses it")
          continue
        }
        for (id, version) in matches where documents[id].map({ $0 > entry.index }) == true {
          if let document = UUID(id) { try await note(entry, document, StreamVersion(version)) }
        }
      }
    }
  }

  private func leaveOut(_ entry: KnownSearches.Entry, _ reason: String) {
    logger.warning(
      "A saved search cannot be run", metadata: ["search": "\(entry.search.id)", .error: "\(reason)"])
  }

  private func note(_ entry: KnownSearches.Entry, _ document: UUID, _ version: StreamVersion) async throws {
    let id = SearchHit.id(entry.search.id, document)
    do {
      // Most documents that a search finds it has found before.
      guard try await context.store.version(of: SearchHit.stream(id)) == .none else { return }
      _ = try await hits.create(
        id,
        SearchHitCommand(
          search: entry.search.id, name: entry.search.name, owner: entry.owner, document: document,
          documentVersion: version, at: .now()), metadata: EventMetadata(actor: entry.owner))
      found.increment()
    } catch AppendError.versionConflict {
      // Another process was faster.
    }
  }
}

extension Caller {
  /// The owner of a saved search, with the rights that he had when he saved one last.
  fileprivate init(_ entry: KnownSearches.Entry) {
    self.init(
      actor: entry.owner, names: Set(entry.reader.names.map { ExactName($0) }),
      groups: Set(entry.reader.groups.map { ExactName($0) }), roles: entry.reader.seesAll ? [.auditor] : [],
      expires: nil)
  }
}

/// All saved searches, as the log has them. It reads what is new each time it is asked.
private final class KnownSearches: Sendable {
  struct Entry: Sendable {
    let search: SearchList.Search
    let owner: String
    let reader: SearchReader
    /// Where in the log it was saved.
    let index: LogIndex
  }

  private struct State {
    var next = LogIndex.start
    var lists: [String: SearchList] = [:]
    var indexes: [UUID: LogIndex] = [:]
  }
  private let state = Mutex(State())
  private let store: EventStore

  init(_ store: EventStore) { self.store = store }

  /// They are read anew.
  func reset() { state.withLock { $0 = State() } }

  func searches() async throws -> [Entry] {
    var new = state.withLock { $0 }
    while true {
      let page = try await store.readCategory("\(SearchList.category)", from: new.next)
      for recorded in page.events {
        guard let index = recorded.index else { continue }
        let event = try SearchList.event(recorded.body, of: recorded.stream)
        new.lists[recorded.stream.id] = SearchList.evolve(
          new.lists[recorded.stream.id], event, at: recorded.version)
        switch event {
        case .saved(let id, _, _, _, _, _): new.indexes[id] = index
        case .removed(let id, _): new.indexes[id] = nil
        }
        new.next = index.next
      }
      guard page.hasMore else { break }
    }
    let read = new
    state.withLock { if read.next > $0.next { $0 = read } }
    return read.lists.values.flatMap { list in
      list.searches.compactMap { search in
        read.indexes[search.id].map { Entry(search: search, owner: list.owner, reader: list.reader, index: $0) }
      }
    }
  }
}
