import Configuration
import Time
import Domain
import EventStore
import Events
import GRPC
import HTTPServer
import Identifiers
import JSON
import Reactor
import Tracing

/// `document.DocumentService`.
struct DocumentCalls: DocumentProto.DocumentServiceMethods {
  private let documents: DocumentService
  private let access: Access
  private let rates: Rates
  private let proxies: TrustedProxies
  private let hub: EventHub
  private let cache = MessageCache()
  private let reactor: Reactor
  private let tracer: Tracer

  /// How often a watcher's right is looked at whose document is at rest.
  private static let look = Duration.seconds(15)

  init(_ context: Context) throws {
    documents = try DocumentService(context)
    (access, hub, reactor) = (Access(context), context.hub, context.reactor)
    (rates, tracer) = (Rates(context), context.tracer)
    proxies = TrustedProxies(context.settings[HTTPSettings.trustedProxies]) ?? TrustedProxies()
  }

  // MARK: Methods

  func updateDocumentStatus(
    _ request: DocumentProto.UpdateDocumentStatusRequest, _ call: RPCCall
  ) async throws -> DocumentProto.DocumentResponse {
    try await called("UpdateDocumentStatus", call) { try await updateDocumentStatus(request, by: $0) }
  }

  private func updateDocumentStatus(
    _ request: DocumentProto.UpdateDocumentStatusRequest, by caller: Request
  ) async throws -> DocumentProto.DocumentResponse {
    let id = try id(request.documentId)
    try await access.require(.change, on: id, for: caller.caller)
    let status: DocumentStatus
    do { status = try DocumentStatus(json: .string(request.status)) } catch {
      throw RPCError(.invalidArgument, "\(error)", details: [.field("status", "\(error)")])
    }
    let metadata = caller.metadata()
    let keyed = KeyedRequest(
      try key(of: caller), caller, actor: metadata.actor,
      [id.description, status.rawValue, request.expectedVersion.map { "\($0)" }])
    // The answer is kept as a row, as those of requests are.
    let answer = try await documents.store.store.once(keyed) {
      let once = keyed.map { keyed in
        Once<Document>(keyed.key, request: keyed.request) { $0.map { Self.kept($0).bytes } ?? Array("null".utf8) }
      }
      let document = try await documents.amend(
        id, status: status, expecting: request.expectedVersion.map { StreamVersion($0) }, metadata: metadata, once: once
      )
      return Self.kept(document).response
    }
    guard case .bytes(let row) = answer.body else { throw Problem.internalError }
    return try Self.response(Document(rowImage: JSONValue(parsing: row)))
  }

  func getDocument(
    _ request: DocumentProto.GetDocumentRequest, _ call: RPCCall
  ) async throws -> DocumentProto.DocumentResponse {
    try await called("GetDocument", call) { try await getDocument(request, by: $0) }
  }

  private func getDocument(
    _ request: DocumentProto.GetDocumentRequest, by caller: Request
  ) async throws -> DocumentProto.DocumentResponse {
    let id = try id(request.documentId)
    try await access.require(.view, on: id, for: caller.caller)
    return try Self.response(await documents.existing(id))
  }

  func documentExists(
    _ request: DocumentProto.DocumentExistsRequest, _ call: RPCCall
  ) async throws -> DocumentProto.DocumentExistsResponse {
    try await called("DocumentExists", call) { try await documentExists(request, by: $0) }
  }

  private func documentExists(
    _ request: DocumentProto.DocumentExistsRequest, by caller: Request
  ) async throws -> DocumentProto.DocumentExistsResponse {
    let id = try id(request.documentId)
    do {
      try await access.require(.view, on: id, for: caller.caller)
      return .init(exists: try await documents.document(id)?.isDeleted == false)
    } catch DocumentRefusal.notFound {
      // One that the caller may not see is not there for it.
      return .init(exists: false)
    }
  }

  func watchDocument(
    _ request: DocumentProto.WatchDocumentRequest, _ call: RPCCall,
    _ responses: RPCResponses<DocumentProto.DocumentEvent>
  ) async throws {
    let caller = try await counted(call).caller
    let id = try id(request.documentId)
    try await access.require(.view, on: id, for: caller)
    var cursor: StreamCursor?
    if !request.from.isEmpty {
      do { cursor = try StreamCursor(json: .string(request.from)) } catch {
        throw RPCError(.invalidArgument, "\(error)", details: [.field("from", "\(error)")])
      }
    }
    let start: DocumentFeed.Start
    do { start = try await DocumentFeed.start(id, request.fromVersion, cursor, documents.store.store) } catch let
      problem
      as Problem where problem.status == 409
    {
      throw RPCError(.outOfRange, problem.detail, details: [.info(reason: "NO_SUCH_VERSION")])
    }
    let feed = DocumentFeed(
      id, after: start, for: caller, store: documents.store.store, hub: hub, cache: cache, on: reactor)
    defer { feed.close() }
    try await responses.accept()
    while caller.left > .zero {
      switch try await feed.next(within: min(Self.look, caller.left)) {
      case .nothing: break
      case .messages(let messages):
        for message in messages {
          guard caller.left > .zero else { break }
          try await responses.send(Self.event(message, of: id))
        }
      case .hidden: throw RPCError(.permissionDenied, "the document is not shared with you any more")
      case .diverged:
        throw RPCError(
          .aborted, "the log has lost its end: read the document again, and watch it",
          details: [.info(reason: "DIVERGED")])
      case .closed: throw RPCError.stopping
      }
    }
    throw RPCError(.unauthenticated, "the token has ended: call with another one")
  }

  // MARK: Who, and what

  /// Carries a call out, once it is known who calls, as a part of its trace (OpenTelemetry's conventions for gRPC).
  private func called<Value: Sendable>(
    _ method: String, _ call: RPCCall, _ body: (Request) async throws -> Value
  ) async throws -> Value {
    let request = try await counted(call)
    guard let (context, parent) = tracer.request(request.headers["traceparent"]) else { return try await body(request) }
    return try await tracer.measure {
      try await TraceContext.$current.withValue(context) { try await body(request) }
    } span: { result, begun in
      var (code, failure) = (Int64(0), String?.none)
      if case .failure(let error) = result {
        let status = RPCError(describing: error)
        code = Int64(status.code.rawValue)
        if [.internal, .unavailable, .unknown].contains(status.code) { failure = "\(status.code)" }
      }
      return Span(
        "document.DocumentService/\(method)", .server, context, parent: parent, begun: begun,
        [
          ("rpc.system", "grpc"), ("rpc.service", "document.DocumentService"), ("rpc.method", .text(method)),
          ("rpc.grpc.status_code", .number(code)),
        ], failure: failure)
    }
  }

  /// The same as for a request over HTTP: a call is a request to its path, with metadata for headers.
  ///
  /// - Throws: A problem with status 401 or 429.
  private func counted(_ call: RPCCall) async throws -> Request {
    let headers = call.headers.filter { Self.headers.contains($0.name) }
    let request = try Request(
      .post, call.path, headers: headers, clientAddress: proxies.client(of: call.clientAddress, call.headers))
    let limits = rates.limits(of: call.path, call.path)
    let caller: Caller
    do { caller = try access.authenticator.caller(of: request) } catch {
      if error.status == 401 { try await limits?.refuse(request) }
      throw error
    }
    try await limits?.count(request, caller)
    guard !caller.roles.isEmpty else {
      throw Authenticator.unauthorized("send a token in the metadata: “authorization: Bearer …”", isToken: false)
    }
    return request.identified(as: caller, by: access)
  }

  private static let headers: Set<String> = [
    "authorization", "x-actor", "x-correlation-id", "traceparent", "idempotency-key",
  ]

  private func key(of request: Request) throws(RPCError) -> IdempotencyKey? {
    guard let text = request.headers["idempotency-key"] else { return nil }
    do { return try IdempotencyKey(json: .string(text)) } catch {
      throw RPCError(.invalidArgument, "\(error)", details: [.field("idempotency-key", "\(error)")])
    }
  }

  private func id(_ text: String) throws(RPCError) -> UUID {
    if let id = UUID(text) { return id }
    let shown = String(decoding: text.utf8.prefix(80), as: UTF8.self)
    let problem = "document_id: “\(shown)” is not a UUID"
    throw RPCError(.invalidArgument, problem, details: [.field("document_id", problem)])
  }

  // MARK: Forms

  private static func kept(_ document: Document) -> KeptAnswer { KeptAnswer(200, headers: [], body: document.rowImage) }

  private static func response(_ document: Document) throws -> DocumentProto.DocumentResponse {
    .init(
      id: document.id.description, title: document.title, status: document.status.rawValue,
      createdBy: document.createdBy, contentType: document.content?.type ?? "",
      contentSize: document.content?.size ?? 0, createdAt: document.createdAt.description,
      updatedAt: document.updatedAt.description, tags: document.tags,
      version: Int32(clamping: document.version.value))
  }

  private static func event(_ message: DocumentFeed.Message, of id: UUID) -> DocumentProto.DocumentEvent {
    let what = message.what
    return .init(
      type: what.type, documentId: id.description, title: what.title, oldStatus: what.oldStatus?.rawValue ?? "",
      newStatus: what.newStatus?.rawValue ?? "", version: what.version.value,
      timestamp: what.at.microseconds / 1_000, cursor: message.isLast ? message.cursor.text : "",
      actor: what.actor ?? "", signatureId: what.signature?.id.description ?? "",
      signerEmail: what.signature?.signerEmail ?? "", signerName: what.signature?.signerName ?? "")
  }
}
