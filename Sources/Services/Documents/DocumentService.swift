import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import Projections
import Redis
import Time

/// The commands and readings of documents, on one reactor.
struct DocumentService: Sendable {
  let store: AggregateStore<Document>
  let redis: RedisClient
  let cache: DocumentCache
  let views: ViewCounts
  let content: ContentStore
  let hot: HotDocuments
  let types: TypeReader
  private let gathered: GatheredCounts
  /// Where rows came from.
  let reads: ReadMetrics
  /// Documents that exist: reading one again needs no look before its view is counted.
  let known = RecentIDs(limit: 10_000)

  init(
    _ context: Context, cache: DocumentCache, views: ViewCounts, content: ContentStore
  ) {
    (store, redis, self.cache) = (AggregateStore(context.store), context.redis, cache)
    (self.views, self.content, hot) = (views, content, context.hot)
    types = TypeReader(context.store)
    gathered = GatheredCounts(
      views, context.redis, key: { DocumentCache.key($0.description) }, on: context.reactor)
    reads = ReadMetrics(context.metrics)
  }

  /// Counts a view of a document that is read often.
  ///
  /// - Returns: The version that Redis has; nil: none.
  func countTogether(_ id: UUID, _ visitor: String) async -> StreamVersion? { await gathered.count(id, visitor) }

  // MARK: Commands

  /// Creates a document. Content goes to the object store first: an object that no event names is swept up later, an
  /// event that names no object would be a loss.
  ///
  /// - Parameters:
  ///   - by: The creator; the actor if nil.
  ///   - content: Stored already.
  func create(
    _ id: UUID, title: String, content: DocumentContent?, fields: FieldsChange? = nil, by creator: String?,
    metadata: EventMetadata, once: Once<Document>? = nil
  ) async throws -> Document {
    let command = DocumentCommand.create(
      id: id, title: title, content: content, fields: fields, by: creator ?? metadata.actor, at: .now())
    do { return try await store.create(id.description, command, metadata: metadata, once: once) } catch {
      // Refused: no event names the content. After any other error one may, also after a replay: the first answer may be
      // this call's own, sent again after its connection broke. What is left is the sweep's.
      if let content, error is DocumentRefusal { await self.content.discard(content) }
      throw error
    }
  }

  /// Decides without content, so that a refused command stores none.
  func check(title: String, _ fields: FieldsChange?) throws {
    _ = try Document.decide(
      .create(id: .version7(), title: title, content: nil, fields: fields, by: "", at: .now()), nil)
  }

  func amend(
    _ id: UUID, title: String? = nil, status: DocumentStatus?, tags: [String]? = nil, fields: FieldsChange? = nil,
    expecting: StreamVersion?, metadata: EventMetadata, once: Once<Document>? = nil
  ) async throws -> Document {
    try await execute(
      .amend(title: title, status: status, tags: tags, fields: fields, at: .now()), on: id, expecting, metadata, once)
  }

  func removeType(_ id: UUID, expecting: StreamVersion?, metadata: EventMetadata) async throws -> Document {
    try await execute(.removeType(at: .now()), on: id, expecting, metadata)
  }

  /// - Parameter stored: Stored already.
  func replaceContent(
    _ id: UUID, _ stored: DocumentContent, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    do {
      let document = try await execute(.replaceContent(stored, at: .now()), on: id, expecting, metadata)
      guard let old = document.content, old.key != stored.key else { return document }
      // The document has the same content already, unless the object store has lost it.
      if try await content.isThere(old) {
        await content.discard(stored)
        return document
      }
      return try await execute(.replaceContent(stored, evenIfSame: true, at: .now()), on: id, expecting, metadata)
    } catch {
      // Refused before anything was appended. After any other error the event may be there.
      if error is DocumentRefusal || error is UnexpectedVersion { await content.discard(stored) }
      throw error
    }
  }

  func delete(_ id: UUID, expecting: StreamVersion?, metadata: EventMetadata) async throws {
    let document = try await execute(.delete(at: .now()), on: id, expecting, metadata)
    await forget(id, before: document.version)
  }

  func label(
    _ id: UUID, _ version: StreamVersion, _ label: String?, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    try await execute(.label(version, label, at: .now()), on: id, expecting, metadata)
  }

  /// Makes the content of an earlier version the present one again, as a new version.
  ///
  /// - Throws: `DocumentRefusal`; a problem if that version had no content, or its object is not there any more.
  func restore(
    _ id: UUID, _ version: StreamVersion, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    let now = try await existing(id)
    guard version > .none, version <= now.version, let then = try await document(id, asOf: .version(version)) else {
      throw DocumentRefusal.noSuchVersion(version)
    }
    guard let content = then.content else {
      throw Problem(409, "Conflict", detail: "the document had no content in version \(version)", field: "/version")
    }
    // An object is written once, so the earlier one is named again, unless somebody has lost it.
    guard try await self.content.isThere(content) else {
      throw Problem(
        409, "Conflict", detail: "the object store does not have the content of version \(version) any more",
        field: "/version")
    }
    return try await execute(.replaceContent(content, at: .now()), on: id, expecting, metadata)
  }

  func share(
    _ id: UUID, _ share: Share, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    try await execute(.share(share, at: .now()), on: id, expecting, metadata)
  }

  func unshare(
    _ id: UUID, _ grantee: Grantee, expecting: StreamVersion?, metadata: EventMetadata
  ) async throws -> Document {
    let document = try await execute(.unshare(grantee, at: .now()), on: id, expecting, metadata)
    await forget(id, before: document.version)
    return document
  }

  /// Nobody shall see the cached row any more, not even until the view has the change.
  private func forget(_ id: UUID, before version: StreamVersion) async {
    known.remove(id)
    hot.forget(id, before: version)
    // Without Redis nobody reads from it.
    _ = try? await redis.command(RedisCommand("UNLINK", DocumentCache.key(id.description)))
  }

  private func execute(
    _ command: DocumentCommand, on id: UUID, _ expecting: StreamVersion?, _ metadata: EventMetadata,
    _ once: Once<Document>? = nil
  ) async throws -> Document {
    let document = try await store.execute(
      command, on: id.description, expecting: expecting, metadata: metadata, once: once)
    guard let document else { throw DocumentRefusal.notFound }
    return document
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
}
