import Crypto
import Domain
import EventStore
import Events
import Identifiers
import JSON
import Lifecycle
import Logging
import Postgres
import Reactor
import Synchronization
import Time

/// Carries batches out. What is done already is not done again, and a process that ends leaves the rest to the next one, within half a
/// minute.
struct BatchSteps: Sendable {
  private let store: EventStore
  private let due: DueTimes

  private static let page = 4
  /// Documents that are worked on at the same time.
  private static let width = 8
  /// How long others leave a batch alone that is worked on, in microseconds.
  private static let hold: Int64 = 30_000_000
  /// The longest reason that is kept of a document that could not be changed, in bytes.
  private static let longestProblem = 300

  init(_ store: EventStore) {
    self.store = store
    due = DueTimes(store, category: Batch.category)
  }

  /// Works on the next documents of some batches.
  func look(_ failed: (String, any Error) -> Void) async throws -> Bool {
    let entries = try await due.due(limit: Self.page)
    for entry in entries {
      // The others go on; this one is tried again when nobody holds it any more.
      do { try await step(entry) } catch {
        if Task.isCancelled { throw CancellationError() }
        failed("batch \(entry.id)", error)
      }
    }
    return !entries.isEmpty
  }

  /// Works on the next documents of a batch. It then goes behind the others that wait.
  private func step(_ entry: DueTimes.Entry) async throws {
    let loaded = try await AggregateStore<Batch>(store).load(entry.id)
    guard let batch = loaded.state else {
      // Its start may be under way.
      return try await due.settle(entry, next: entry.isOld ? nil : Self.later())
    }
    guard !batch.left.isEmpty else { return try await due.forget(entry.id) }
    do {
      let results = try await results(
        of: Array(batch.left.prefix(Batch.step)), batch, originals(of: batch))
      try await store.together(metadata: Self.metadata(batch)) { unit in
        let now = try await unit.load(entry.id, Batch.self)
        try unit.execute(.note(results, at: .now()), on: entry.id, now)
      }
      if results.count == batch.left.count {
        try await due.forget(entry.id)
      } else {
        try await due.note(entry.id, at: .now())
      }
    } catch BatchRefusal.outOfOrder {
      // Another process works on it.
    } catch AppendError.commandRunning {
      // Another process changes one of its documents.
    }
  }

  private static func later() -> Timestamp { Timestamp(microseconds: Timestamp.now().microseconds + hold) }

  private static func metadata(_ batch: Batch) -> EventMetadata {
    EventMetadata(actor: batch.createdBy, correlationID: "batch-\(batch.id)")
  }

  /// What the documents had before the batch that is taken back.
  private func originals(of batch: Batch) async throws -> [UUID: BatchResult] {
    guard case .undo(let other) = batch.change else { return [:] }
    let results = try await AggregateStore<Batch>(store).load(other.description).state?.results ?? []
    return Dictionary(results.map { ($0.document, $0) }) { first, _ in first }
  }

  private func results(
    of documents: [UUID], _ batch: Batch, _ originals: [UUID: BatchResult]
  ) async throws -> [BatchResult] {
    try await withThrowingTaskGroup(of: (Int, BatchResult).self) { group in
      var results = [BatchResult?](repeating: nil, count: documents.count)
      var next = 0
      func add() {
        guard next < documents.count else { return }
        let (number, document) = (next, documents[next])
        group.addTask { (number, try await self.result(of: document, batch, originals[document])) }
        next += 1
      }
      for _ in 0..<Self.width { add() }
      while let (number, result) = try await group.next() {
        results[number] = result
        add()
      }
      return results.compactMap(\.self)
    }
  }

  /// Changes one document. After a stop in between it is not changed again: the first result is kept under a key.
  private func result(of document: UUID, _ batch: Batch, _ original: BatchResult?) async throws -> BatchResult {
    func problem(_ text: String) -> BatchResult {
      BatchResult(document: document, version: nil, status: nil, tags: nil, problem: Self.short(text))
    }
    let key = "batch\n\(batch.id)\n\(document)"
    let request = SHA256.hash(Array(key.utf8))
    do {
      // History does not change: it is read before the transaction begins.
      var custom: CustomFields?
      if let before = original?.fields {
        custom = try await AggregateStore<Document>(store).load(document.description, asOf: .version(before)).state?
          .custom
      }
      return try await store.together(
        metadata: Self.metadata(batch), command: (key, request, { (result: BatchResult) in result.json })
      ) { unit in
        let loaded = try await unit.load(document.description, Document.self)
        var definition: DocumentType?
        if case .edit(_, _, _, let fields?) = batch.change {
          definition = try await unit.load(fields.type, DocumentType.self).state
        }
        // A refusal is a result too, and kept: whoever comes later must not find another one.
        do { return try Self.change(loaded, batch, definition, original, custom, document, unit) } catch let refusal
          as any Refusal
        {
          return problem(refusal.description)
        }
      }
    } catch let replayed as CommandReplayed {
      return try BatchResult(json: JSONValue(parsing: replayed.answer))
    } catch is EventReadError {
      return problem("its events cannot be read by this program")
    } catch let error as AppendError {
      switch error {
      case .versionConflict, .lostRace: return problem("other writers were faster, again and again")
      case .archived: return problem("it is archived and takes no more changes")
      case .database(let cause) where !cause.isRetriable: return problem("the database refuses it")
      default: throw error
      }
    } catch let error as ReadError {
      if case .database(let cause) = error, cause.isRetriable { throw error }
      return problem("the database refuses to read it")
    }
  }

  private static func short(_ text: String) -> String {
    text.utf8.count <= longestProblem ? text : String(decoding: text.utf8.prefix(longestProblem), as: UTF8.self) + "…"
  }

  private static func change(
    _ loaded: AggregateStore<Document>.Loaded, _ batch: Batch, _ definition: DocumentType?, _ original: BatchResult?,
    _ custom: CustomFields?, _ document: UUID, _ unit: Unit
  ) throws -> BatchResult {
    guard let before = loaded.state else { throw DocumentRefusal.notFound }
    guard !before.isDeleted else { throw DocumentRefusal.deleted }
    func problem(_ text: String) -> BatchResult {
      BatchResult(document: document, version: nil, status: nil, tags: nil, problem: text)
    }
    // The right may have been taken back since.
    guard batch.starter.mayChange(before, at: .now()) else { return problem("you may not change it any more") }
    let command: DocumentCommand
    switch batch.change {
    case .edit(let status, let add, let remove, let fields):
      let removed = Set(remove.map { Array($0.utf8) })
      let tags = (before.tags + add).filter { !removed.contains(Array($0.utf8)) }
      command = .amend(
        title: nil, status: status == before.status ? nil : status, tags: tags,
        fields: fields.flatMap { fields in
          definition.map { FieldsChange(by: $0, setsType: fields.setsType, fields.values) }
        }, at: .now())
    case .undo:
      guard let original, original.version == loaded.version else { return problem("the document was changed since") }
      command = .takeBack(
        status: original.status ?? before.status, tags: original.tags ?? before.tags,
        custom: original.fields == nil ? before.custom : custom, at: .now())
    }
    guard let after = try unit.execute(command, on: document.description, loaded), after.version != loaded.version
    else {
      return BatchResult(document: document, version: nil, status: nil, tags: nil)
    }
    return BatchResult(
      document: document, version: after.version, status: after.status == before.status ? nil : before.status,
      tags: after.tags == before.tags ? nil : before.tags,
      fields: after.custom == before.custom ? nil : loaded.version)
  }
}
