import Domain
import EventStore
public import HTTPServer
import Identifiers
import JSON
public import MediaType
import Reactor
import Time

/// `/documents`: create, read, change, delete.
public struct DocumentRoutes: Sendable {
  private let documents: DocumentService
  private let detector: MediaTypeDetector
  private let maximumContent: Int

  /// - Parameter maximumContent: Of a document, in bytes.
  public init(_ documents: DocumentService, detector: MediaTypeDetector, maximumContent: Int) {
    (self.documents, self.detector, self.maximumContent) = (documents, detector, maximumContent)
  }

  public func add(to router: inout Router, prefix: String) {
    // JSON may write six bytes for one.
    router.on(.post, "\(prefix)/documents", body: .collect(limit: maximumContent * 2 + 65_536), create)
    router.on(.get, "\(prefix)/documents/:id", read)
    router.on(.patch, "\(prefix)/documents/:id", body: .collect(limit: 65_536), amend)
    router.on(.delete, "\(prefix)/documents/:id", delete)
    router.on(.get, "\(prefix)/documents/:id/content", readContent)
    router.on(.put, "\(prefix)/documents/:id/content", body: .collect(limit: maximumContent), replaceContent)
    router.on(.get, "\(prefix)/documents/:id/stats", statistics)
  }

  // MARK: Commands

  @Sendable
  private func create(_ request: Request) async throws -> Response {
    let draft = try DocumentDraft(request, maximumContent: maximumContent)
    let type: String? = if let content = draft.content, draft.type == nil { await detect(content) } else { draft.type }
    let document = try await documents.create(
      title: draft.title, content: draft.content, type: type, metadata: try request.metadata())
    return Self.answer(document, status: 201, headers: [("Location", "/v1/documents/\(document.id)")])
  }

  @Sendable
  private func amend(_ request: Request) async throws -> Response {
    let id = try request.documentID()
    var fields = try request.jsonFields()
    let title: String?
    let status: DocumentStatus?
    do {
      title = try fields.optional("title")
      status = try fields.optional("status")
      try fields.end()
    } catch { throw Problem(error) }
    guard title != nil || status != nil else {
      throw Problem(422, "Invalid body", detail: "nothing to change: send title, status or both")
    }
    return try await withPrecondition {
      Self.answer(
        try await documents.amend(
          id, title: title, status: status, expecting: try request.expectedVersion(),
          metadata: try request.metadata()))
    }
  }

  @Sendable
  private func replaceContent(_ request: Request) async throws -> Response {
    let id = try request.documentID()
    let bytes: [UInt8] = if case .bytes(let bytes) = request.body { bytes } else { [] }
    guard !bytes.isEmpty else { throw Problem(400, "Malformed body", detail: "the content is empty") }
    let type = if let given = request.headers["Content-Type"] { given } else { await detect(bytes) }
    return try await withPrecondition {
      Self.answer(
        try await documents.replaceContent(
          id, bytes, type: type, expecting: try request.expectedVersion(), metadata: try request.metadata()))
    }
  }

  @Sendable
  private func delete(_ request: Request) async throws -> Response {
    let id = try request.documentID()
    return try await withPrecondition {
      try await documents.delete(id, expecting: try request.expectedVersion(), metadata: try request.metadata())
      return Response(204)
    }
  }

  /// Off the loop: libmagic may take milliseconds.
  private func detect(_ bytes: [UInt8]) async -> String {
    await Reactor.offLoop { [detector] in detector.detect(bytes) }
  }

  private func withPrecondition(_ body: () async throws -> Response) async throws -> Response {
    do { return try await body() } catch let error as PreconditionFailed {
      throw Problem(
        412, "Precondition failed",
        detail: "the document is at version \(error.actual), not \(error.expected): read it again and decide anew",
        field: "If-Match", headers: [("ETag", "\"\(error.actual)\"")])
    }
  }

  // MARK: Reading

  @Sendable
  private func read(_ request: Request) async throws -> Response {
    let id = try request.documentID()
    try request.requireQuery(only: "as_of")
    if let text = request.query("as_of") {
      guard let document = try await documents.document(id, asOf: try Self.moment(text)) else {
        throw Problem(404, "Not found", detail: "there was no such document then", field: "as_of")
      }
      guard !document.isDeleted else { throw DocumentRefusal.deleted }
      return Self.answer(document)
    }
    let reading = try await documents.read(id, visitor: try request.actor())
    return .json(
      reading.row,
      headers: [("ETag", "\"\(reading.version)\""), ("X-Annals-Source", reading.isFromCache ? "cache" : "log")])
  }

  static func moment(_ text: String) throws(Problem) -> Moment {
    if let version = Int64(text), version > 0 { return .version(StreamVersion(version)) }
    if let time = Timestamp(text) { return .time(time) }
    throw Problem(
      400, "Malformed query",
      detail: "“\(text)” is neither a version such as 3 nor a time such as 2026-11-21T13:20:38Z", field: "as_of")
  }

  @Sendable
  private func readContent(_ request: Request) async throws -> Response {
    let id = try request.documentID()
    guard let document = try await documents.document(id) else { throw DocumentRefusal.notFound }
    guard !document.isDeleted else { throw DocumentRefusal.deleted }
    guard let content = document.content else {
      throw Problem(404, "Not found", detail: "the document has no content yet; PUT some here")
    }
    let bytes = try await documents.readContent(content.key)
    // Uploaded content is never to be run by a browser as a page of this origin.
    return Response(
      200,
      headers: [
        ("Content-Type", content.type), ("X-Content-Type-Options", "nosniff"),
        ("Content-Disposition", "attachment"), ("ETag", "\"\(content.key.dropFirst("sha256/".count))\""),
      ], body: .bytes(bytes))
  }

  @Sendable
  private func statistics(_ request: Request) async throws -> Response {
    let id = try request.documentID()
    guard let document = try await documents.document(id) else { throw DocumentRefusal.notFound }
    let statistics = try await documents.statistics(id)
    var writer = JSONWriter()
    writer.object {
      $0.member("id", document.id.description)
      $0.member("views", statistics.views)
      $0.member("unique_visitors", statistics.uniqueVisitors)
    }
    return .json(writer.bytes)
  }

  private static func answer(
    _ document: Document, status: Int = 200, headers: [(name: String, value: String)] = []
  ) -> Response {
    .json(document.rowImage, status: status, headers: [("ETag", "\"\(document.version)\"")] + headers)
  }
}
