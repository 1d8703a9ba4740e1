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
/// holds up no other, and is looked at again for a week.
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
  private let state = Mutex<(problem: String, at: ContinuousClock.Instant)?>(nil)
  /// How often searches have failed alone.
  private let failures = Mutex<[UUID: Int]>([:])

  /// Documents that are looked at together, searches in one request, and hits that are noted at the same time.
  private static let (documents, searches, width) = (500, 20, 8)
  /// How long all wait for the search index.
  private static let patience = Duration.seconds(2)
  /// Late documents that are looked at together, and how long other processes leave them alone.
  private static let (lateDocuments, hold) = (100, Duration.seconds(300))
  /// When a document is looked at again that was put aside, in microseconds: at first, after an hour.
  private static let (pause, longPause): (Int64, Int64) = (10_000_000, 600_000_000)
  /// How long a document is looked at again, in microseconds.
  private static let longestWait: Int64 = 7 * 86_400_000_000
  /// How often a search may fail alone before it is left out for some documents.
  private static let attempts = 3
  /// A problem that has not come again for so long is over.
  private static let memory = Duration.seconds(60)

  init(_ context: Context) {
    (self.context, service) = (context, SearchService(patient: context))
    known = KnownSearches(context.store)
    late = DueTimes(context.store, category: "search_late")
    (hits, types) = (AggregateStore(context.store), AggregateStore(context.store))
    logger = context.logger.labelled("searches")
    found = context.metrics.counter(
      "annals_search_hits_total", help: "Documents that saved searches have found for the first time.")
  }

  var problem: String? {
    get async { state.withLock { state in state.flatMap { .now - $0.at < Self.memory ? $0.problem : nil } } }
  }

  private func note(problem: String) { state.withLock { $0 = (problem, .now) } }

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
      pageSize: Self.documents,
      beginning: { [store = context.store] in try await store.beginning(of: SearchList.category) },
      on: context.reactor, logger: context.logger, metrics: context.metrics)
    await subscription.follow(on: context.reactor) { error in
      note(problem: "saved searches are not run: the log says why")
      logger.warning("Saved searches stand still", metadata: [.error: "\(error)"])
    } reset: {
      // A document that is found a second time is no new hit.
      known.reset()
    } _: {
      try await look(at: $0)
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
    let missing = try await waitForIndex(changes, within: Self.patience)
    try await run(on: changes.filter { !missing.contains($0.key) }.mapValues(\.index))
    for id in missing { try await late.note(id, at: Self.later(Self.pause)) }
    if !missing.isEmpty {
      logger.info(
        "The search index does not have all changes yet: saved searches are run on them later",
        metadata: ["documents": "\(missing.count)"])
    }
  }

  private static func later(_ microseconds: Int64) -> Timestamp {
    Timestamp(microseconds: Timestamp.now().microseconds + microseconds)
  }

  /// Waits until the search index has changes, and makes them searchable.
  ///
  /// - Returns: The documents whose changes it does not have in time.
  private func waitForIndex(_ changes: [String: Change], within patience: Duration) async throws -> Set<String> {
    let deadline = ContinuousClock.now + patience
    var backoff = Backoff(first: .milliseconds(50), limit: .milliseconds(500))
    var missing = Set(changes.keys)
    while true {
      let versions = try await service.versions(of: Array(missing))
      missing = missing.filter { (versions[$0] ?? 0) < (changes[$0]?.version ?? 0) }
      guard !missing.isEmpty, .now < deadline else { break }
      try await context.reactor.sleep(for: backoff.next())
    }
    if missing.count < changes.count { try await service.refresh() }
    return missing
  }

  // MARK: What was late

  private func lookAgain() async {
    var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
    while !Task.isCancelled {
      do {
        var entries: [DueTimes.Entry] = []
        for entry in try await late.due(limit: Self.lateDocuments) {
          entries.append(try await late.hold(entry, for: Self.hold))
        }
        var changes: [String: Change] = [:]
        for entry in entries {
          let version = try await context.store.version(of: Document.stream(entry.id))
          // When it was changed is not known any more: all searches that there are now are run.
          changes[entry.id] = Change(version: version.value, index: LogIndex(.max))
        }
        let missing = changes.isEmpty ? [] : try await waitForIndex(changes, within: .zero)
        try await run(on: changes.filter { !missing.contains($0.key) }.mapValues(\.index))
        for entry in entries {
          let isMissing = missing.contains(entry.id)
          // A later change has been noted since: that note stays.
          try await late.settle(entry, next: isMissing ? try await next(entry) : nil)
        }
        backoff.reset()
        if entries.isEmpty { try await context.reactor.sleep(for: .seconds(2)) }
      } catch is CancellationError { return } catch {
        if Task.isCancelled { return }
        note(problem: "saved searches are not run on changes that were late: the log says why")
        logger.warning("Saved searches are not run on changes that were late", metadata: [.error: "\(error)"])
        do { try await context.reactor.sleep(for: backoff.next()) } catch { return }
      }
    }
  }

  /// When a document is looked at again that the index still does not have; nil: not any more.
  private func next(_ entry: DueTimes.Entry) async throws -> Timestamp? {
    guard entry.isOld else { return Self.later(Self.pause) }
    let last = try await context.store.readBackward(Document.stream(entry.id), limit: 1).events.first
    if let last, Timestamp.now().microseconds - last.recordedAt.microseconds < Self.longestWait {
      return Self.later(Self.longPause)
    }
    logger.error(
      "The search index does not get a document: saved searches do not find it. See annals project parked",
      metadata: ["document": "\(entry.id)"])
    return nil
  }

  // MARK: Running

  private struct Runnable {
    let entry: KnownSearches.Entry
    let text: SearchText
    let filter: SearchService.Filter
  }

  /// Runs all searches on some documents.
  ///
  /// - Parameter documents: By id, where in the log each was changed. Searches that were saved later are not run on it.
  private func run(on documents: [String: LogIndex]) async throws {
    guard !documents.isEmpty else { return }
    guard try await service.hasFields() else {
      // An index of before there were types is being rebuilt.
      for id in documents.keys { try await late.note(id, at: Self.later(Self.longPause)) }
      return
    }
    var (runnable, definitions) = ([Runnable](), [String: DocumentType]())
    for entry in try await known.searches() {
      do {
        if let type = entry.query.type, definitions[type.text] == nil {
          definitions[type.text] = try await types.load(type.text).state
        }
        let (text, filter) = try entry.query.search(
          for: Caller(owner: entry.owner, rights: entry.reader), entry.query.type.flatMap { definitions[$0.text] })
        runnable.append(Runnable(entry: entry, text: text, filter: filter))
      } catch let error as Problem { leaveOut(entry, error.detail) }
    }
    var rest = runnable[...]
    while !rest.isEmpty {
      let part = rest.prefix(Self.searches)
      rest = rest.dropFirst(part.count)
      try await run(part, on: documents)
    }
  }

  /// Runs some searches together. If that fails each is tried alone: one that needs too much holds up no other.
  private func run(_ searches: ArraySlice<Runnable>, on documents: [String: LogIndex]) async throws {
    let results: [SearchService.Matches]
    do {
      results = try await service.matches(searches.map { ($0.text, $0.filter) }, among: Array(documents.keys))
    } catch {
      if Task.isCancelled { throw error }
      guard searches.count == 1, let entry = searches.first?.entry else {
        // Without Elasticsearch each would fail.
        _ = try await service.versions(of: Array(documents.keys.prefix(1)))
        for index in searches.indices { try await run(searches[index...index], on: documents) }
        return
      }
      let count = failures.withLock { failures in
        failures[entry.search.id, default: 0] += 1
        return failures[entry.search.id] ?? 0
      }
      guard count >= Self.attempts else { throw error }
      failures.withLock { $0[entry.search.id] = nil }
      leaveOut(entry, "\(error)")
      return
    }
    var found: [(entry: KnownSearches.Entry, document: UUID, version: StreamVersion)] = []
    for (search, matches) in zip(searches, results) {
      switch matches {
      case .refused(let reason): leaveOut(search.entry, reason)
      case .found(let hits):
        failures.withLock { $0[search.entry.search.id] = nil }
        for (id, version) in hits where documents[id].map({ $0 > search.entry.index }) == true {
          if let document = UUID(id) { found.append((search.entry, document, StreamVersion(version))) }
        }
      }
    }
    var rest = found[...]
    while !rest.isEmpty {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for hit in rest.prefix(Self.width) {
          group.addTask { try await self.note(hit.entry, hit.document, hit.version) }
        }
        try await group.waitForAll()
      }
      rest = rest.dropFirst(Self.width)
    }
  }

  private func leaveOut(_ entry: KnownSearches.Entry, _ reason: String) {
    logger.warning(
      "A saved search is left out for some documents", metadata: ["search": "\(entry.search.id)", .error: "\(reason)"])
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

/// All saved searches, as the log has them.
private final class KnownSearches: Sendable {
  struct Entry: Sendable {
    let search: SearchList.Search
    let query: SavedQuery
    let owner: String
    let reader: StandingRights
    /// Where in the log it was saved.
    let index: LogIndex
  }

  private let lists: KnownStates<SearchList, [Entry]>

  init(_ store: EventStore) {
    lists = KnownStates(store) { event in
      switch event {
      case .saved(let id, _, _, _, _, _): .begun(id)
      case .removed(let id, _): .ended(id)
      }
    } make: { lists, places in
      lists.flatMap { list in
        list.searches.compactMap { search in
          // What a newer program has saved is that program's.
          guard let index = places[search.id]?.begun, let query = try? SavedQuery(json: .object(search.query)) else {
            return nil
          }
          return Entry(search: search, query: query, owner: list.owner, reader: list.reader, index: index)
        }
      }
    }
  }

  /// Reads everything again the next time.
  func reset() { lists.reset() }

  func searches() async throws -> [Entry] { try await lists.value() }
}
