import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Crypto
import Logging
import S3

/// `/documents`: create, read, change, delete.
struct DocumentRoutes: Sendable {
  private let documents: DocumentService
  private let contents: ContentStore
  private let logger: Logger
  private let maximumJSON: Int

  /// - Parameter maximumJSON: The largest JSON body, in bytes.
  init(_ documents: DocumentService, maximumJSON: Int, logger: Logger) {
    (self.documents, contents, self.maximumJSON) = (documents, documents.content, maximumJSON)
    self.logger = logger.labelled("documents")
  }

  var group: RouteGroup {
    RouteGroup(
      "Documents",
      routes: [
        Route(
          .post, "/documents", "Create a document.", right: .create,
          // A form has the other fields beside the content.
          body: .fieldsOrForm(
            limit: maximumJSON, form: contents.maximum + 1 << 20,
            example:
              #"{"title": "Lease of 12 Main Street", "content": "The parties agree …", "content_type": "text/plain"}"#
          ),
          answers: [Answer(201, "The document.", schema: Document.schema)], DocumentInputs.title,
          DocumentInputs.content(in: contents), DocumentInputs.contentType, DocumentInputs.createdBy,
          DocumentInputs.type, DocumentInputs.fields, IdempotencyKey.input,
          handler: create),
        Route(
          .get, "/documents/{id}", "Read a document; counts a view.", right: .view, showsCachedRow: true,
          answers: [
            Answer(200, "The document.", schema: Document.schema),
            Answer(304, "The caller has it: If-None-Match names its ETag."),
          ], DocumentInputs.id, DocumentInputs.asOf,
          AtLeast.olderHeader, AtLeast.header, AtLeast.query,
          Input<String?>(
            header: "If-None-Match",
            "ETags that the caller has: 304 if the newest is among them, and never an older row."),
          handler: read),
        Route(
          .patch, "/documents/{id}", "Change title, status, tags, type and fields, or some of them.",
          right: .change,
          body: .fields(limit: 262_144, example: #"{"title": "Lease of 14 Main Street", "status": "viewed"}"#),
          answers: [Answer(200, "The document.", schema: Document.schema)],
          DocumentInputs.id, DocumentInputs.newTitle, DocumentInputs.newStatus, DocumentInputs.newTags,
          DocumentInputs.type, DocumentInputs.fields, DocumentInputs.ifMatch, handler: amend),
        Route(
          .delete, "/documents/{id}/type", "Take a document's type and the fields of it away.", right: .change,
          answers: [Answer(200, "The document.", schema: Document.schema)], DocumentInputs.id, DocumentInputs.ifMatch
        ) { request, id, tag in
          Self.answer(
            try await documents.removeType(id, expecting: tag?.version, metadata: request.metadata()),
            to: request.caller)
        },
        Route(
          .delete, "/documents/{id}", "Delete a document. Its history stays.", right: .own,
          answers: [Answer(204, "Deleted.")], DocumentInputs.id, DocumentInputs.ifMatch, handler: delete),
        Route(
          .get, "/documents/{id}/content", "Read the content.", right: .view,
          answers: [
            Answer(200, "The content.", schema: .any, mediaType: "*/*"),
            Answer(206, "The range that was asked for.", schema: .any, mediaType: "*/*"),
            Answer(304, "The caller has it: If-None-Match names its ETag."),
            Answer(416, "The content has no such range."),
          ], DocumentInputs.id, handler: readContent),
        Route(
          .put, "/documents/{id}/content", "Replace the content.", right: .change, body: .content,
          answers: [Answer(200, "The document.", schema: Document.schema)], DocumentInputs.id,
          Input<MediaTypeName?>(header: "Content-Type", "The media type. It is found out if it is missing."),
          DocumentInputs.ifMatch, handler: replaceContent),
      ])
  }

  // MARK: Commands

  @Sendable
  private func create(
    _ request: Request, _ title: String?, _ content: UploadedContent?, _ type: MediaTypeName?, _ createdBy: ActorName?,
    _ documentType: TypeName?, _ values: FieldValues?, _ key: IdempotencyKey?
  ) async throws -> Response {
    guard let title = title ?? content?.filename else {
      throw Problem(JSONError(.missing("title"), path: [.name("title")]))
    }
    guard content != nil || type == nil else {
      throw Problem(422, "Invalid body", detail: "content_type without content", field: "/content_type")
    }
    if let createdBy { try request.caller.require(name: createdBy.text, in: "/created_by") }
    let metadata = request.metadata(named: createdBy?.text)
    let keyed = KeyedRequest(
      key, request, actor: metadata.actor,
      [title, type?.text, createdBy?.text, content?.hash, content?.filename]
        // A key of before there were types stays the same.
        + (documentType == nil && values == nil ? [] : [documentType?.text, values?.text]))
    return try await documents.store.store.once(keyed) {
      let fields: FieldsChange?
      do { fields = try await documents.types.change(to: documentType?.text, values, of: nil) } catch {
        await discard(content)
        throw error
      }
      let (id, stored) = try await store(content, as: title, type, fields)
      // While the content was stored the type may have become another.
      let newest = try await newest(fields, stored)
      let once = keyed.map { keyed in
        Once<Document>(keyed.key, request: keyed.request) { $0.map { Self.created($0).bytes } ?? Array("null".utf8) }
      }
      return Self.created(
        try await documents.create(
          id, title: title, content: stored, fields: newest, by: createdBy?.text, metadata: metadata, once: once)
      ).response
    }
  }

  private func newest(_ fields: FieldsChange?, _ stored: DocumentContent?) async throws -> FieldsChange? {
    guard let fields, stored != nil else { return fields }
    return FieldsChange(
      by: try await documents.types.definition(fields.definition.name), setsType: true, fields.values)
  }

  /// A form's content is there before its other fields are read.
  private func discard(_ content: UploadedContent?) async {
    if case .stored(_, let stored, _) = content?.source { await contents.discard(stored) }
  }

  private static func created(_ document: Document) -> KeptAnswer {
    KeptAnswer(
      201, headers: headers(of: document) + [("Location", "/v1/documents/\(document.id)")], body: document.rowImage)
  }

  /// The id of a new document and its content, which a form has stored already.
  private func store(
    _ content: UploadedContent?, as title: String, _ type: MediaTypeName?, _ fields: FieldsChange?
  ) async throws -> (UUID, DocumentContent?) {
    switch content?.source {
    case nil: return (.version7(), nil)
    case .text(let bytes):
      try documents.check(title: title, fields)
      let id = UUID.version7()
      return (id, try await contents.store(bytes, of: id, type: type?.text ?? "text/plain"))
    case .stored(let id, let stored, let at):
      // The sweep takes content of that age without an event for an orphan.
      guard .now - at < ContentStore.longestUpload else {
        await contents.discard(stored)
        throw Problem(408, "Request timeout", detail: "a form may take \(ContentStore.longestUpload) to arrive")
      }
      guard let type else { return (id, stored) }
      return (id, DocumentContent(type: type.text, size: stored.size, key: stored.key, hash: stored.hash))
    }
  }

  @Sendable
  private func amend(
    _ request: Request, _ id: UUID, _ title: String?, _ status: DocumentStatus?, _ tags: TagList?, _ type: TypeName?,
    _ values: FieldValues?, _ tag: EntityTag?
  ) async throws -> Response {
    guard title != nil || status != nil || tags != nil || type != nil || values != nil else {
      throw Problem(422, "Invalid body", detail: "nothing to change: send title, status, tags, type or fields")
    }
    var present: CustomFields?
    if type == nil, values != nil {
      present = try await documents.existing(id).custom
      guard present != nil else {
        throw Problem(422, "Invalid body", detail: "the document has no type: send type too", field: "/type")
      }
    }
    let fields = try await documents.types.change(to: type?.text, values, of: present)
    return Self.answer(
      try await documents.amend(
        id, title: title, status: status, tags: tags?.tags, fields: fields, expecting: tag?.version,
        metadata: request.metadata()),
      to: request.caller)
  }

  @Sendable
  private func replaceContent(
    _ request: Request, _ id: UUID, _ type: MediaTypeName?, _ tag: EntityTag?
  ) async throws -> Response {
    guard !request.body.isEmpty else {
      throw Problem(400, "Malformed body", detail: "the body is empty; send the content's bytes")
    }
    guard type?.isForm != true else {
      throw Problem(
        415, "Unsupported media type", detail: "the body is a form; send the content's bytes", field: "Content-Type")
    }
    // Looked up before the body is read: content for a missing document is not asked for.
    let document = try await documents.existing(id)
    if let expected = tag?.version, expected != document.version {
      throw UnexpectedVersion(stream: Document.stream(id.description), expected: expected, actual: document.version)
    }
    var chunks = try await request.body.chunks(upTo: contents.maximum).makeAsyncIterator()
    let stored = try await contents.store(
      of: id, type: type?.text, length: request.body.length, body: request.body
    ) { try await chunks.next() }
    do {
      // The content may have taken hours: whoever could begin may not be allowed to end.
      guard request.caller.left > .zero else {
        throw Authenticator.unauthorized("the token has expired", isToken: true)
      }
      try await request.access?.require(.change, on: id, for: request.caller)
    } catch {
      await contents.discard(stored)
      throw error
    }
    return Self.answer(
      try await documents.replaceContent(id, stored, expecting: tag?.version, metadata: request.metadata()),
      to: request.caller)
  }

  @Sendable
  private func delete(_ request: Request, _ id: UUID, _ tag: EntityTag?) async throws -> Response {
    try await documents.delete(id, expecting: tag?.version, metadata: request.metadata())
    return Response(204)
  }

  // MARK: Reading

  @Sendable
  private func read(
    _ request: Request, _ id: UUID, _ moment: Moment?, _ older: AtLeast?, _ header: AtLeast?, _ query: AtLeast?,
    _ known: String?
  ) async throws -> Response {
    if let moment {
      // What it was is its history.
      try await request.access?.require(.audit, on: id, for: request.caller)
      guard let document = try await documents.document(id, asOf: moment) else {
        throw Problem(404, "Not found", detail: "the document did not exist then", field: "as_of")
      }
      guard !document.isDeleted else { throw DocumentRefusal.deleted }
      return Self.answer(document, to: request.caller)
    }
    let reading = try await documents.read(
      id, visitor: request.clientAddress, notBefore: [older, header, query].compactMap(\.self),
      seen: known.map(Self.newestVersion) ?? .none)
    // The row itself says who may see it: it may be older than the one that was looked at before, or newer.
    if try !request.caller.seesAll && request.caller.permissions(on: reading.document).isEmpty {
      let document = try await documents.existing(id)
      guard !request.caller.permissions(on: document).isEmpty else { throw DocumentRefusal.notFound }
      return Self.answer(document, to: request.caller)
    }
    if let known, ByteRange.matches(known, "\"\(reading.version)\"") {
      return Response(304, headers: [("ETag", "\"\(reading.version)\"")])
    }
    return .json(
      try request.caller.shown(reading.row),
      headers: [("ETag", "\"\(reading.version)\""), ("X-Annals-Source", reading.isFromCache ? "cache" : "log")])
  }

  @Sendable
  private func readContent(_ request: Request, _ id: UUID) async throws -> Response {
    let document = try await documents.existing(id)
    guard let content = document.content else {
      throw Problem(404, "Not found", detail: "the document has no content yet; PUT some here")
    }
    return try await ContentAnswer(contents: contents, logger: logger).answer(request, content)
  }

  private static func answer(_ document: Document, to caller: Caller) -> Response {
    .json(caller.shown(document), headers: headers(of: document))
  }

  /// The newest version that a list of ETags names.
  private static func newestVersion(_ tags: String) -> StreamVersion {
    let versions = tags.split(separator: ",").compactMap { tag in
      Int64(tag.drop { $0 == " " || $0 == "W" || $0 == "/" || $0 == "\"" }.prefix { $0.isNumber })
    }
    return StreamVersion(versions.max() ?? 0)
  }

  static func headers(of document: Document) -> [(name: String, value: String)] {
    [
      ("ETag", "\"\(document.version)\""),
      ReadToken(Document.stream(document.id.description), document.version).field,
    ]
  }
}
