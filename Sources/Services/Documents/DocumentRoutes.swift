import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import MediaType
import Reactor

/// `/documents`: create, read, change, delete.
struct DocumentRoutes: Sendable {
  private let documents: DocumentService
  private let detector: MediaTypeDetector
  private let maximumContent: Int

  /// - Parameter maximumContent: The largest content of a document, in bytes.
  init(_ documents: DocumentService, detector: MediaTypeDetector, maximumContent: Int) {
    (self.documents, self.detector, self.maximumContent) = (documents, detector, maximumContent)
  }

  var group: RouteGroup {
    RouteGroup(
      "Documents",
      routes: [
        Route(
          .post, "/documents", "Create a document.", right: .change,
          // JSON may write six bytes for one.
          body: .fieldsOrForm(limit: maximumContent * 2 + 65_536),
          answers: [Answer(201, "The document.", schema: Document.schema)], DocumentInputs.title,
          DocumentInputs.content, DocumentInputs.contentType, DocumentInputs.createdBy, handler: create),
        Route(
          .get, "/documents/{id}", "Read a document; counts a view.", right: .read,
          answers: [Answer(200, "The document.", schema: Document.schema)], DocumentInputs.id, DocumentInputs.asOf,
          handler: read),
        Route(
          .patch, "/documents/{id}", "Change the title, the status or both.", right: .change,
          body: .fields(limit: 65_536), answers: [Answer(200, "The document.", schema: Document.schema)],
          DocumentInputs.id, DocumentInputs.newTitle, DocumentInputs.newStatus, DocumentInputs.ifMatch, handler: amend),
        Route(
          .delete, "/documents/{id}", "Delete a document. Its history stays.", right: .change,
          answers: [Answer(204, "Deleted.")], DocumentInputs.id, DocumentInputs.ifMatch, handler: delete),
        Route(
          .get, "/documents/{id}/content", "Read the content.", right: .read,
          answers: [Answer(200, "The content.", schema: .any, mediaType: "*/*")], DocumentInputs.id,
          handler: readContent),
        Route(
          .put, "/documents/{id}/content", "Replace the content.", right: .change, body: .bytes(limit: maximumContent),
          answers: [Answer(200, "The document.", schema: Document.schema)], DocumentInputs.id,
          Input<MediaTypeName?>(header: "Content-Type", "The media type. It is found out if it is missing."),
          DocumentInputs.ifMatch, handler: replaceContent),
        Route(
          .get, "/documents/{id}/stats", "How often a document was read, and by how many.", right: .read,
          answers: [Answer(200, "The counts.", schema: Self.statisticsSchema)], DocumentInputs.id, handler: statistics),
      ])
  }

  private static let statisticsSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")),
    .init("total_views", .integer),
    .init("unique_views", .integer, "Client addresses; an estimate with a standard error of 0.81 %."),
  ])

  // MARK: Commands

  @Sendable
  private func create(
    _ request: Request, _ title: String?, _ content: UploadedContent?, _ type: MediaTypeName?, _ createdBy: ActorName?
  ) async throws -> Response {
    guard let title = title ?? content?.filename else {
      throw Problem(JSONError(.missing("title"), path: [.name("title")]))
    }
    guard content != nil || type == nil else {
      throw Problem(422, "Invalid body", detail: "content_type without content", field: "/content_type")
    }
    let bytes = content?.bytes
    guard (bytes?.count ?? 0) <= maximumContent else {
      throw Problem(413, "Content too large", detail: "content has at most \(maximumContent) bytes", field: "/content")
    }
    var mediaType = type?.text ?? content?.type
    if mediaType == nil, let bytes { mediaType = await detect(bytes) }
    let document = try await documents.create(
      title: title, content: bytes, type: mediaType, by: createdBy?.text,
      metadata: request.metadata(named: createdBy?.text))
    return Self.answer(document, status: 201, headers: [("Location", "/v1/documents/\(document.id)")])
  }

  @Sendable
  private func amend(
    _ request: Request, _ id: UUID, _ title: String?, _ status: DocumentStatus?, _ tag: EntityTag?
  ) async throws -> Response {
    guard title != nil || status != nil else {
      throw Problem(422, "Invalid body", detail: "nothing to change: send title, status or both")
    }
    return Self.answer(
      try await documents.amend(
        id, title: title, status: status, expecting: tag?.version, metadata: request.metadata()))
  }

  @Sendable
  private func replaceContent(
    _ request: Request, _ id: UUID, _ type: MediaTypeName?, _ tag: EntityTag?
  ) async throws -> Response {
    guard case .bytes(let bytes) = request.body else {
      throw Problem(400, "Malformed body", detail: "the body is empty, or a form; send the content's bytes")
    }
    let type = if let type { type.text } else { await detect(bytes) }
    return Self.answer(
      try await documents.replaceContent(
        id, bytes, type: type, expecting: tag?.version, metadata: request.metadata()))
  }

  @Sendable
  private func delete(_ request: Request, _ id: UUID, _ tag: EntityTag?) async throws -> Response {
    try await documents.delete(id, expecting: tag?.version, metadata: request.metadata())
    return Response(204)
  }

  /// Off the loop: libmagic may take milliseconds.
  private func detect(_ bytes: [UInt8]) async -> String {
    await Reactor.offLoop { [detector] in detector.detect(bytes) }
  }

  // MARK: Reading

  @Sendable
  private func read(_ request: Request, _ id: UUID, _ moment: Moment?) async throws -> Response {
    if let moment {
      guard let document = try await documents.document(id, asOf: moment) else {
        throw Problem(404, "Not found", detail: "the document did not exist then", field: "as_of")
      }
      guard !document.isDeleted else { throw DocumentRefusal.deleted }
      return Self.answer(document)
    }
    let reading = try await documents.read(id, visitor: request.clientAddress)
    return .json(
      reading.row,
      headers: [("ETag", "\"\(reading.version)\""), ("X-Annals-Source", reading.isFromCache ? "cache" : "log")])
  }

  @Sendable
  private func readContent(_ request: Request, _ id: UUID) async throws -> Response {
    let document = try await documents.existing(id)
    guard let content = document.content else {
      throw Problem(404, "Not found", detail: "the document has no content yet; PUT some here")
    }
    let bytes = try await documents.readContent(content.key)
    // A browser must never run uploaded content as a page of this origin.
    return Response(
      200,
      headers: [
        ("Content-Type", content.type), ("X-Content-Type-Options", "nosniff"),
        ("Content-Disposition", "attachment"), ("ETag", "\"\(content.key.dropFirst("sha256/".count))\""),
      ], body: .bytes(bytes))
  }

  @Sendable
  private func statistics(_ request: Request, _ id: UUID) async throws -> Response {
    let document = try await documents.existing(id)
    let statistics = try await documents.statistics(id)
    var writer = JSONWriter()
    writer.object {
      $0.member("document_id", document.id.description)
      $0.member("total_views", statistics.views)
      $0.member("unique_views", statistics.uniqueVisitors)
    }
    return .json(writer.bytes)
  }

  private static func answer(
    _ document: Document, status: Int = 200, headers: [(name: String, value: String)] = []
  ) -> Response {
    .json(document.rowImage, status: status, headers: [("ETag", "\"\(document.version)\"")] + headers)
  }
}
