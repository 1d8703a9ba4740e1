import Crypto
import Domain
import EventStore
import Events
import Identifiers
import Reactor
import Redis
import S3
import Time

/// The commands and readings of documents, on one reactor.
struct DocumentService: Sendable {
  let store: AggregateStore<Document>
  let redis: RedisClient
  let content: S3Client

  init(store: EventStore, redis: RedisClient, content: S3Client) {
    (self.store, self.redis, self.content) = (AggregateStore(store), redis, content)
  }

  // MARK: Commands

  /// Creates a document. Content goes to the object store first: an object that no event names is swept up later, an
  /// event that names no object would be a loss.
  ///
  /// - Parameter by: The creator; the actor if nil.
  func create(
    title: String, content bytes: [UInt8]?, type: String?, by creator: String?, metadata: EventMetadata
  ) async throws -> Document {
    let id = UUID.version7()
    let by = creator ?? metadata.actor
    // Decided once without content, so that a refused command leaves no object.
    _ = try Document.decide(.create(id: id, title: title, content: nil, by: by, at: .now()), nil)
    let stored: DocumentContent? = if let bytes, let type { try await store(bytes, type: type) } else { nil }
    return try await store.create(
      id.description, .create(id: id, title: title, content: stored, by: by, at: .now()), metadata: metadata)
  }

  func amend(
    _ id: UUID, title: String?, status: DocumentStatus?, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    try await execute(.amend(title: title, status: status, at: .now()), on: id, expecting, metadata)
  }

  func replaceContent(
    _ id: UUID, _ bytes: [UInt8], type: String, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    // Looked up first, so that content for a missing document is not stored.
    _ = try await existing(id)
    let stored = try await store(bytes, type: type)
    return try await execute(.replaceContent(stored, at: .now()), on: id, expecting, metadata)
  }

  func delete(_ id: UUID, expecting: StreamVersion?, metadata: EventMetadata) async throws {
    _ = try await execute(.delete(at: .now()), on: id, expecting, metadata)
  }

  private func execute(
    _ command: DocumentCommand, on id: UUID, _ expecting: StreamVersion?, _ metadata: EventMetadata
  ) async throws -> Document {
    let document = try await store.execute(command, on: id.description, expecting: expecting, metadata: metadata)
    guard let document else { throw DocumentRefusal.notFound }
    return document
  }

  private func store(_ bytes: [UInt8], type: String) async throws -> DocumentContent {
    // Large content is hashed off the loop: a megabyte takes most of a millisecond.
    let hash = bytes.count < 65_536 ? SHA256.hash(bytes) : await Reactor.offLoop { SHA256.hash(bytes) }
    let key = "sha256/\(hash.hexadecimal)"
    try await content.put(key, bytes, contentType: type)
    return DocumentContent(type: type, size: Int64(bytes.count), key: key)
  }

  // MARK: Reading

  /// The document, now or as it was, deleted ones too; nil if there is none.
  func document(_ id: UUID, asOf moment: Moment? = nil) async throws -> Document? {
    try await store.load(id.description, asOf: moment).state
  }

  /// The document.
  ///
  /// - Throws: `DocumentRefusal` if it does not exist or is deleted.
  func existing(_ id: UUID) async throws -> Document {
    guard let document = try await document(id) else { throw DocumentRefusal.notFound }
    guard !document.isDeleted else { throw DocumentRefusal.deleted }
    return document
  }

  func readContent(_ key: String) async throws -> [UInt8] { try await content.get(key) }
}
