import Base64
import Crypto
import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Logging
import Reactor
import Synchronization
import Time

/// `/documents/{id}/links`: make and revoke links; `/links/{link}`: what whoever has one sees.
struct LinkRoutes: Sendable {
  private let documents: DocumentService
  private let content: ContentAnswer
  private let store: EventStore
  private let links: AggregateStore<ShareLink>
  private let failures: LinkFailures
  private let reactor: Reactor

  private static let page = 100
  private static let secretBytes = 32
  private static let longestPassword = 200

  init(_ documents: DocumentService, prefix: String, on reactor: Reactor, logger: Logger) {
    self.documents = documents
    content = ContentAnswer(contents: documents.content, logger: logger.labelled("links"))
    (store, self.reactor) = (documents.store.store, reactor)
    links = AggregateStore(store, snapshots: .every(100))
    failures = LinkFailures(documents.redis, prefix: prefix, logger: logger.labelled("links"))
  }

  private static let link = Input<UUID>(path: "link", "The link's id.")

  var group: RouteGroup {
    let token = Input<String?>(query: "token", schema: .string(maxLength: 100), "The link's secret, as it was made.")
    let password = Input<String?>(
      header: "Authorization", "`Basic` with any user and the link's password, if it has one: browsers ask for it.")
    return RouteGroup(
      "Links",
      routes: [
        Route(
          .post, "/documents/{id}/links", "Make a link to one version of a document, for whoever has it.", right: .own,
          body: .fields(
            limit: 16_384, example: #"{"password": "correct horse battery", "expires_at": "2027-01-31T00:00:00Z"}"#),
          answers: [Answer(201, "The link. Its address is told here alone.", schema: Self.createdSchema)],
          DocumentInputs.id, Input<Int64?>(optional: "version", "The version; the newest if it is missing."),
          Input<Timestamp?>(optional: "expires_at", "When it ends; missing: it does not."),
          Input<String?>(
            optional: "password", schema: .string(minLength: 8, maxLength: Self.longestPassword),
            "Asked for from whoever opens it."),
          Input<Int64?>(
            optional: "maximum_uses", schema: .integer(in: 1...Int(ShareLink.mostUses)),
            "How often it may be used: \(ShareLink.defaultUses) if it is missing."), handler: create),
        Route(
          .get, "/documents/{id}/links", "The newest links to a document.", right: .audit,
          answers: [Answer(200, "The links.", schema: Self.listSchema)], DocumentInputs.id, handler: list),
        Route(
          .get, "/documents/{id}/links/{link}", "A link, and when and from where it was used.", right: .audit,
          answers: [Answer(200, "The link and its newest uses.", schema: Self.historySchema)], DocumentInputs.id,
          Self.link, handler: history),
        Route(
          .delete, "/documents/{id}/links/{link}", "Revoke a link.", right: .own, answers: [Answer(204, "Revoked.")],
          DocumentInputs.id, Self.link, handler: revoke),
        Route(
          .get, "/links/{link}", "What a link shows: the document as it was in that version.", right: .anyone,
          answers: [Answer(200, "The document.", schema: Self.shownSchema)], Self.link, token, password
        ) { request, link, token, password in
          let (shared, document) = try await open(link, token, password, request)
          try await use(link, "document", request)
          return Self.secret(.json(Self.shown(document, shared)))
        },
        Route(
          .get, "/links/{link}/content", "The content of the version that a link shows.", right: .anyone,
          answers: [
            Answer(200, "The content.", schema: .any, mediaType: "*/*"),
            Answer(206, "The range that was asked for.", schema: .any, mediaType: "*/*"),
          ], Self.link, token, password
        ) { request, link, token, password in
          let (_, document) = try await open(link, token, password, request)
          guard let found = document.content else {
            throw Problem(404, "Not found", detail: "the document has no content in that version")
          }
          // Opened first: what cannot be had is no use.
          let answer = try await content.answer(request, found)
          if answer.status < 400 { try await use(link, "content", request) }
          return Self.secret(answer)
        },
      ])
  }

  // MARK: The owner's

  @Sendable
  private func create(
    _ request: Request, _ id: UUID, _ version: Int64?, _ expires: Timestamp?, _ password: String?, _ uses: Int64?
  ) async throws -> Response {
    var kept: LinkPassword?
    if let password {
      guard (8...Self.longestPassword).contains(password.utf8.count) else {
        throw Problem(
          422, "Invalid body", detail: "a password has 8 to \(Self.longestPassword) bytes of UTF-8", field: "/password")
      }
      let salt = Secrets.random(16)
      let hash = try await Self.scrypt(password, salt: salt)
      kept = LinkPassword(salt: salt.hexadecimal, hash: hash.hexadecimal)
    }
    let (link, secret, now) = (UUID.version7(), Base64.url(Secrets.random(Self.secretBytes)), Timestamp.now())
    let metadata = request.metadata()
    let state = try await store.together(metadata: metadata) { unit in
      let loaded = try await unit.load(id.description, Document.self)
      let shown = version.map { StreamVersion($0) } ?? loaded.version
      try unit.execute(.link(link, shown, at: now), on: id.description, loaded)
      let command = ShareLinkCommand.create(
        id: link, document: id, shown: shown, secretHash: SHA256.hash(Array(secret.utf8)).hexadecimal, password: kept,
        expires: expires, maximumUses: uses ?? ShareLink.defaultUses, by: metadata.actor, at: now)
      guard let state = try unit.execute(command, on: link.description, nil, as: ShareLink.self) else {
        throw ShareLinkRefusal.exists
      }
      return state
    }
    let address = "/v1/links/\(link)?token=\(secret)"
    var writer = JSONWriter()
    writer.object { writer in
      writer.name("link")
      writer.splice(state.rowImage)
      writer.member("url", address)
    }
    return Self.secret(.json(writer.bytes, status: 201, headers: [("Location", "/v1/documents/\(id)/links/\(link)")]))
  }

  @Sendable
  private func list(_ request: Request, _ id: UUID) async throws -> Response {
    let document = try await documents.existing(id)
    var rows: [[UInt8]] = []
    for link in document.links.suffix(Self.page).reversed() {
      if let state = try await links.load(link.description).state {
        rows.append(state.rowImage)
      }
    }
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("document_id", id.description)
      writer.array("links", of: rows) { $0.splice($1) }
    }
    return .json(writer.bytes)
  }

  private func link(_ link: UUID, of document: UUID) async throws -> ShareLink {
    let state = try await links.load(link.description).state
    guard let state, state.documentID == document else { throw ShareLinkRefusal.notFound }
    return state
  }

  @Sendable
  private func history(_ request: Request, _ id: UUID, _ link: UUID) async throws -> Response {
    let state = try await self.link(link, of: id)
    let newest = try await store.readBackward(ShareLink.stream(link.description), limit: Self.page)
    var writer = JSONWriter()
    try writer.object { writer in
      writer.name("link")
      writer.splice(state.rowImage)
      writer.name("uses")
      try writer.array { writer in
        for recorded in newest.events {
          guard case .used(let what, let address, let at) = try ShareLink.event(recorded.body, of: recorded.stream)
          else {
            continue
          }
          writer.element()
          writer.object {
            $0.member("what", what)
            $0.member("address", address)
            $0.member("at", at.description)
          }
        }
      }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func revoke(_ request: Request, _ id: UUID, _ link: UUID) async throws -> Response {
    let now = Timestamp.now()
    try await store.together(metadata: request.metadata()) { unit in
      let loaded = try await unit.load(link.description, ShareLink.self)
      guard let state = loaded.state, state.documentID == id else { throw ShareLinkRefusal.notFound }
      guard state.revokedAt == nil else { return }
      let document = try await unit.load(id.description, Document.self)
      try unit.execute(.unlink(link, at: now), on: id.description, document)
      try unit.execute(.revoke(at: now), on: link.description, loaded)
    }
    return Response(204)
  }

  // MARK: Whoever has it

  /// The link and the document as it shows it.
  private func open(
    _ id: UUID, _ token: String?, _ authorization: String?, _ request: Request
  ) async throws -> (ShareLink, Document) {
    // The secret first: who does not have it costs no more than one event.
    let stream = ShareLink.stream(id.description)
    guard let first = try await store.read(stream, after: .none, limit: 1).events.first,
      case .created(_, _, _, let hash, _, _, _, _, _) = try ShareLink.event(first.body, of: stream),
      Secrets.areEqual(Array(hash.utf8), Array(SHA256.hash(Array((token ?? "").utf8)).hexadecimal.utf8)),
      let link = try await links.load(id.description).state
    else { throw ShareLinkRefusal.notFound }
    try link.check(at: .now())
    if let password = link.password {
      try await failures.check(id, Self.given(authorization), from: request.clientAddress, on: reactor) {
        let hash = try await Self.scrypt($0, salt: [UInt8](hexadecimal: password.salt) ?? [])
        return Secrets.areEqual(Array(hash.hexadecimal.utf8), Array(password.hash.utf8))
      }
    }
    guard let present = try await documents.document(link.documentID), !present.isDeleted else {
      throw DocumentRefusal.deleted
    }
    if present.version == link.shown { return (link, present) }
    guard let document = try await documents.document(link.documentID, asOf: .version(link.shown)) else {
      throw DocumentRefusal.notFound
    }
    return (link, document)
  }

  /// Each answer is an event, before it is given; to HEAD too, which tells size and hash.
  private func use(_ id: UUID, _ what: String, _ request: Request) async throws {
    _ = try await links.execute(
      .use(what: what, address: request.clientAddress, at: .now()), on: id.description,
      metadata: EventMetadata(actor: "link \(id)"))
  }

  /// The password of `Basic`; nil: none was sent.
  private static func given(_ authorization: String?) -> String? {
    guard let word = authorization.flatMap({ Credentials.word(after: "basic", in: $0) }),
      let bytes = Base64.decodeLeniently(word.utf8), let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
    else { return nil }
    return String(decoding: bytes[(colon + 1)...].prefix(longestPassword + 1), as: UTF8.self)
  }

  /// How many passwords are worked on: each takes 16 MiB and a core.
  private static let working = Atomic<Int>(0)
  private static let mostAtOnce = 4

  private static func scrypt(_ password: String, salt: [UInt8]) async throws(Problem) -> [UInt8] {
    guard working.add(1, ordering: .relaxed).newValue <= mostAtOnce else {
      working.subtract(1, ordering: .relaxed)
      throw Problem(
        429, "Too many requests", detail: "too many passwords are being checked: try again",
        headers: [("Retry-After", "1")])
    }
    defer { working.subtract(1, ordering: .relaxed) }
    return await Reactor.offLoop { Secrets.scrypt(Array(password.utf8), salt: salt) }
  }

  /// The address is a secret: it goes to no cache and to no other site.
  private static func secret(_ response: Response) -> Response {
    var response = response
    response.headers += [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
    return response
  }

  private static func shown(_ document: Document, _ link: ShareLink) -> [UInt8] {
    var writer = JSONWriter()
    writer.object {
      $0.member("title", document.title)
      $0.member("status", document.status.rawValue)
      $0.member("version", document.version.value)
      $0.member("updated_at", document.updatedAt.description)
      $0.member("content_type", orNull: document.content?.type)
      $0.name("content_size")
      if let content = document.content { $0.integer(content.size) } else { $0.null() }
      $0.member("content_sha256", orNull: document.content?.hash)
      $0.member("shared_by", link.createdBy)
      $0.member("expires_at", orNull: link.expires?.description)
    }
    return writer.bytes
  }

  // MARK: Schemas

  private static let rowSchema = JSONSchema.named(
    "ShareLink",
    .object([
      .init("id", .string(format: "uuid")), .init("document_id", .string(format: "uuid")),
      .init("document_version", .integer), .init("has_password", .boolean),
      .init("expires_at", .nullable(.string(format: "date-time"))), .init("maximum_uses", .integer),
      .init("uses", .integer), .init("last_used_at", .nullable(.string(format: "date-time"))),
      .init("revoked_at", .nullable(.string(format: "date-time"))), .init("created_by", .string()),
      .init("created_at", .string(format: "date-time")), .init("version", .integer),
    ]))
  private static let createdSchema = JSONSchema.object([
    .init("link", rowSchema), .init("url", .string(), "Path and query of the link, with its secret."),
  ])
  private static let listSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")), .init("links", .array(rowSchema)),
  ])
  private static let historySchema = JSONSchema.object([
    .init("link", rowSchema),
    .init(
      "uses",
      .array(
        .object([
          .init("what", .string(values: ["document", "content"])), .init("address", .string()),
          .init("at", .string(format: "date-time")),
        ])), "The newest first."),
  ])
  private static let shownSchema = JSONSchema.object([
    .init("title", .string()), .init("status", .string()), .init("version", .integer),
    .init("updated_at", .string(format: "date-time")), .init("content_type", .nullable(.string())),
    .init("content_size", .nullable(.integer)), .init("content_sha256", .nullable(.string())),
    .init("shared_by", .string()), .init("expires_at", .nullable(.string(format: "date-time"))),
  ])
}
