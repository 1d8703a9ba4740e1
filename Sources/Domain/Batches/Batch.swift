public import Events
public import Identifiers
public import JSON
public import Time

/// One change of many documents, as its events have made it: what is wanted, and what has become of each document.
public struct Batch: Equatable, Sendable {
  public enum Status: String, CaseIterable, Sendable {
    case running, finished
  }

  public let id: UUID
  public let documents: [UUID]
  public let change: BatchChange
  /// By which rights it changes documents: they are looked at again for each of them.
  public let starter: StandingRights
  public let createdBy: String
  public let createdAt: Time.Timestamp
  /// In the order of the documents, as far as they are done.
  public internal(set) var results: [BatchResult] = []
  public internal(set) var undoneBy: UUID?
  public internal(set) var finishedAt: Time.Timestamp?
  /// The stream's.
  public internal(set) var version: StreamVersion

  public static let maximumDocuments = 10_000
  /// Documents whose results are one event.
  public static let step = 100

  public var status: Status { finishedAt == nil ? .running : .finished }
  /// Those that are not done yet.
  public var left: ArraySlice<UUID> { documents.dropFirst(results.count) }
  public var failures: [BatchResult] { results.filter { $0.problem != nil } }
}

/// What is wanted of each document of a batch.
public enum BatchChange: Equatable, Sendable {
  /// Tags are added and removed; those that a document has beside them stay.
  case edit(status: DocumentStatus?, add: [String], remove: [String], fields: BatchFields? = nil)
  /// Each document gets back what it had before another batch, unless it was changed since.
  case undo(UUID)
}

/// Fields that each document of a batch gets; null takes a value away.
public struct BatchFields: Equatable, Sendable {
  /// Documents of this type have them.
  public let type: String
  /// Documents of another type, or of none, get the type; otherwise they are failures.
  public let setsType: Bool
  public let values: JSONObject

  public init(type: String, setsType: Bool, _ values: JSONObject) {
    (self.type, self.setsType, self.values) = (type, setsType, values)
  }
}

/// What has become of one document.
public struct BatchResult: Equatable, Sendable {
  public let document: UUID
  /// Its version afterwards; nil: it was not changed, or could not be.
  public let version: StreamVersion?
  /// What it had before; nil: that was not changed.
  public let status: DocumentStatus?
  public let tags: [String]?
  /// The version whose type and fields it had; nil: they were not changed.
  public let fields: StreamVersion?
  /// Why it could not be changed.
  public let problem: String?

  public init(
    document: UUID, version: StreamVersion?, status: DocumentStatus?, tags: [String]?, fields: StreamVersion? = nil,
    problem: String? = nil
  ) {
    (self.document, self.version, self.status, self.tags) = (document, version, status, tags)
    (self.fields, self.problem) = (fields, problem)
  }
}

public enum BatchCommand: Sendable {
  case start(
    id: UUID, documents: [UUID], change: BatchChange, starter: StandingRights, by: String, at: Time.Timestamp)
  /// The next documents are done. With the last ones the batch is finished.
  case note([BatchResult], at: Time.Timestamp)
  /// Another batch takes it back.
  case undo(by: UUID, at: Time.Timestamp)
}

public enum BatchRefusal: Refusal, Equatable, Sendable {
  case notFound
  case exists
  case noDocuments
  case tooManyDocuments(limit: Int)
  case namedTwice(UUID)
  case noChange
  case tagsAreMalformed
  case fieldsAreTooLong(limit: Int)
  case isRunning
  case undoneAlready(UUID)
  case outOfOrder
  case nothingToUndo

  public var kind: RefusalKind {
    switch self {
    case .notFound: .notFound
    case .exists, .isRunning, .undoneAlready, .outOfOrder, .nothingToUndo: .conflict
    case .noDocuments, .tooManyDocuments, .namedTwice, .noChange, .tagsAreMalformed, .fieldsAreTooLong: .invalid
    }
  }

  public var field: String? {
    switch self {
    case .noDocuments, .tooManyDocuments, .namedTwice: "/documents"
    case .tagsAreMalformed: "/add_tags"
    case .fieldsAreTooLong: "/fields"
    case .notFound, .exists, .noChange, .isRunning, .undoneAlready, .outOfOrder, .nothingToUndo: nil
    }
  }

  public var description: String {
    switch self {
    case .notFound: "there is no such batch"
    case .exists: "a batch with this id exists"
    case .noDocuments: "a batch needs a document"
    case .tooManyDocuments(let limit): "a batch has at most \(limit) documents"
    case .namedTwice(let id): "\(id) is named twice"
    case .noChange: "nothing to change: send status, add_tags, remove_tags or fields"
    case .tagsAreMalformed:
      "at most \(Tags.maximum) tags are added and as many removed, each of 1 to \(Tags.maximumLength) bytes of UTF-8, not all of them blank, without control characters"
    case .fieldsAreTooLong(let limit): "all values together have at most \(limit) bytes of JSON"
    case .isRunning: "the batch is running: wait for its end"
    case .undoneAlready(let batch): "batch \(batch) takes it back already"
    case .nothingToUndo: "the batch has changed nothing"
    case .outOfOrder: "these documents are not the next ones"
    }
  }
}

extension Batch: Aggregate {
  public static let category: StaticString = "batch"

  public var publishedRow: [UInt8]? { rowImage(failures: 0) }

  public static func decide(_ command: BatchCommand, _ state: Batch?) throws(BatchRefusal) -> [BatchEvent] {
    if case .start(let id, let documents, let change, let starter, let by, let at) = command {
      guard state == nil else { throw .exists }
      guard !documents.isEmpty else { throw .noDocuments }
      guard documents.count <= maximumDocuments else { throw .tooManyDocuments(limit: maximumDocuments) }
      var seen: Set<UUID> = []
      for document in documents where !seen.insert(document).inserted { throw .namedTwice(document) }
      if case .edit(let status, let add, let remove, let fields) = change {
        guard Tags.checked(add) != nil, Tags.checked(remove) != nil else { throw .tagsAreMalformed }
        if let fields, JSONValue.object(fields.values).bytes.count > CustomFields.maximum {
          throw .fieldsAreTooLong(limit: CustomFields.maximum)
        }
        guard status != nil || !add.isEmpty || !remove.isEmpty || fields != nil else { throw .noChange }
      }
      return [.started(id: id, documents: documents, change: change, starter: starter, by: by, at: at)]
    }
    guard let batch = state else { throw .notFound }
    switch command {
    case .start: return []
    case .note(let results, let at):
      guard !results.isEmpty, results.map(\.document).elementsEqual(batch.left.prefix(results.count)) else {
        throw .outOfOrder
      }
      let noted = BatchEvent.progressed(results, at: at)
      return results.count == batch.left.count ? [noted, .finished(at: at)] : [noted]
    case .undo(let by, let at):
      guard batch.finishedAt != nil else { throw .isRunning }
      if let other = batch.undoneBy { throw .undoneAlready(other) }
      guard batch.results.contains(where: { $0.version != nil }) else { throw .nothingToUndo }
      return [.undone(by: by, at: at)]
    }
  }

  public static func evolve(_ state: Batch?, _ event: BatchEvent, at version: StreamVersion) -> Batch? {
    if case .started(let id, let documents, let change, let starter, let by, let at) = event {
      return Batch(
        id: id, documents: documents, change: change, starter: starter, createdBy: by, createdAt: at, version: version)
    }
    guard var batch = state else { return nil }
    batch.version = version
    switch event {
    case .started: break
    case .progressed(let results, _): batch.results += results
    case .finished(let at): batch.finishedAt = at
    case .undone(let by, _): batch.undoneBy = by
    }
    return batch
  }

  /// The row image: the form of a batch in change events and answers, without its documents.
  ///
  /// - Parameter failures: How many failures are named at most.
  public func rowImage(failures limit: Int) -> [UInt8] {
    var writer = JSONWriter(reserving: 512)
    let failed = failures
    writer.object { writer in
      writer.member("id", id.description)
      writer.member("status", status.rawValue)
      writer.member("documents", Int64(documents.count))
      writer.member("done", Int64(results.count))
      writer.member("changed", Int64(results.count { $0.version != nil }))
      writer.member("failed", Int64(failed.count))
      switch change {
      case .edit(let status, let add, let remove, let fields):
        writer.member("set_status", orNull: status?.rawValue)
        for (name, tags) in [("add_tags", add), ("remove_tags", remove)] {
          writer.member(name, tags)
        }
        fields?.writeMembers(&writer)
        writer.member("undoes", orNull: nil)
      case .undo(let other): writer.member("undoes", other.description)
      }
      writer.member("undone_by", orNull: undoneBy?.description)
      writer.member("created_by", createdBy)
      writer.member("created_at", createdAt.description)
      writer.member("finished_at", orNull: finishedAt?.description)
      if limit > 0 {
        writer.objects("failures", of: failed.prefix(limit)) { writer, result in
          writer.member("document_id", result.document.description)
          writer.member("problem", result.problem ?? "")
        }
      }
      writer.member("version", version.value)
    }
    return writer.bytes
  }
}
