import Crypto
public import Domain
public import EventStore
public import Identifiers
import Projections
import Reactor
public import Redis
public import S3
public import Time

/// What can be done with documents, on one reactor.
public struct DocumentService: Sendable {
  let store: EventStore
  let redis: RedisClient
  let content: S3Client

  public init(store: EventStore, redis: RedisClient, content: S3Client) {
    (self.store, self.redis, self.content) = (store, redis, content)
  }

  /// How often a command is decided anew when somebody else was faster and the caller named no version.
  static let maximumTries = 5

  // MARK: Commands

  /// Creates a document. Content goes to the object store first: an object that no event names is swept up one day, an
  /// event that names no object would be a loss.
  public func create(
    title: String, content bytes: [UInt8]?, type: String?, metadata: EventMetadata
  ) async throws -> Document {
    let id = UUID.version7()
    // Decided once without content, so that what is refused leaves nothing behind.
    _ = try DocumentDecider.decide(
      .create(id: id, title: title, content: nil, by: metadata.actor, at: .now()), DocumentDecider.initial)
    let stored: DocumentContent? = if let bytes, let type { try await store(bytes, type: type) } else { nil }
    let command = DocumentCommand.create(id: id, title: title, content: stored, by: metadata.actor, at: .now())
    let events = try DocumentDecider.decide(command, DocumentDecider.initial)
    return try await append(events, to: nil, id: id, metadata)
  }

  public func amend(
    _ id: UUID, title: String?, status: DocumentStatus?, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    try await execute(.amend(title: title, status: status, at: .now()), on: id, expecting, metadata)
  }

  public func replaceContent(
    _ id: UUID, _ bytes: [UInt8], type: String, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    // Looked at first, so that content for nothing is not stored.
    guard let document = try await document(id) else { throw DocumentRefusal.notFound }
    guard !document.isDeleted else { throw DocumentRefusal.deleted }
    let stored = try await store(bytes, type: type)
    return try await execute(.replaceContent(stored, at: .now()), on: id, expecting, metadata)
  }

  public func delete(_ id: UUID, expecting: StreamVersion?, metadata: EventMetadata) async throws {
    _ = try await execute(.delete(at: .now()), on: id, expecting, metadata)
  }

  /// Reads, decides, appends; again where somebody else appended in between.
  private func execute(
    _ command: DocumentCommand, on id: UUID, _ expecting: StreamVersion?, _ metadata: EventMetadata
  ) async throws -> Document {
    for attempt in 1... {
      let state = try await document(id)
      if let expecting, let state, state.version != expecting {
        throw PreconditionFailed(actual: state.version, expected: expecting)
      }
      let events = try DocumentDecider.decide(command, state)
      guard !events.isEmpty, let state else {
        guard let state else { throw DocumentRefusal.notFound }
        return state
      }
      do {
        return try await append(events, to: state, id: id, metadata)
      } catch let error as AppendError {
        guard case .versionConflict = error, expecting == nil, attempt < Self.maximumTries else { throw error }
      }
    }
    throw DocumentRefusal.notFound
  }

  private func append(
    _ events: [DocumentEvent], to state: Document?, id: UUID, _ metadata: EventMetadata
  ) async throws -> Document {
    let expecting: ExpectedVersion = state.map { .exact($0.version) } ?? .noStream
    _ = try await store.append(
      DocumentDecider.newEvents(events, from: state), to: Document.stream(id), expecting: expecting,
      metadata: metadata)
    guard let document = events.reduce(state, DocumentDecider.evolve) else { throw DocumentRefusal.notFound }
    return document
  }

  private func store(_ bytes: [UInt8], type: String) async throws -> DocumentContent {
    // A large content is hashed off the loop: a megabyte takes most of a millisecond.
    let hash = bytes.count < 65_536 ? SHA256.hash(bytes) : await Reactor.offLoop { SHA256.hash(bytes) }
    let key = "sha256/\(hash.hexadecimal)"
    try await content.put(key, bytes, contentType: type)
    return DocumentContent(type: type, size: Int64(bytes.count), key: key)
  }

  // MARK: Reading

  /// The document as its events make it; deleted ones too.
  public func document(_ id: UUID) async throws -> Document? {
    try DocumentDecider.fold(try await store.read(Document.stream(id)))
  }

  /// A document's whole history, oldest first.
  public func history(_ id: UUID) async throws -> [DocumentStep] {
    try DocumentDecider.replay(try await store.read(Document.stream(id)))
  }

  /// The document as it was.
  public func document(_ id: UUID, asOf moment: Moment) async throws -> Document? {
    try DocumentDecider.fold(
      try await store.read(Document.stream(id)).filter { event in
        switch moment {
        case .version(let version): event.version <= version
        case .time(let time): event.recordedAt <= time
        }
      })
  }

  public func readContent(_ key: String) async throws -> [UInt8] { try await content.get(key) }
}

/// A moment in a document's history.
public enum Moment: Sendable {
  case version(StreamVersion)
  /// By the time at which events were recorded.
  case time(Time.Timestamp)
}

/// The document is not at the version that the caller named.
struct PreconditionFailed: Error {
  let actual: StreamVersion
  let expected: StreamVersion
}
