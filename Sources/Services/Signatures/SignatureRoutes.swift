import Crypto
import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Projections
import Time

/// `/signatures`: sign a document; and the signatures of one.
struct SignatureRoutes: Sendable {
  private let sessions: SigningSessions
  private var store: EventStore { sessions.store }
  private let images: SignatureImages
  private let search: SignatureSearch
  private let readers: ViewReaders
  private let maximumJSON: Int

  init(
    _ sessions: SigningSessions, images: SignatureImages, search: SignatureSearch, readers: ViewReaders,
    maximumJSON: Int
  ) {
    (self.sessions, self.images, self.search) = (sessions, images, search)
    (self.readers, self.maximumJSON) = (readers, maximumJSON)
  }

  var group: RouteGroup {
    RouteGroup(
      "Signatures",
      routes: [
        Route(
          .post, "/signatures", "Sign a document.", right: .sign,
          body: .fields(
            limit: maximumJSON,
            example:
              #"{"document_id": "01890a5d-ac96-774b-bcce-b302099a8057", "signer_email": "jane@example.com", "signer_name": "Jane Doe", "signature_data": "aW1hZ2U="}"#
          ),
          answers: [Answer(201, "The signature.", schema: Signature.schema)], SignatureInputs.documentID,
          SignatureInputs.email, SignatureInputs.name, SignatureInputs.data, SignatureInputs.status,
          SignatureInputs.session, SignatureInputs.consent, SignatureInputs.method,
          IdempotencyKey.input,
          handler: sign),
        Route(
          .get, "/documents/{id}/signatures", "The signatures of a document, oldest first.", right: .view,
          answers: [Answer(200, "The signatures.", schema: Self.listSchema)], SignatureInputs.document, handler: list),
        Route(
          .get, "/signers/{email}/documents", "Documents that somebody has signed, the latest signature first.",
          right: .person,
          answers: [Answer(200, "A page of documents with their signatures.", schema: Self.signedSchema)],
          Input<String>(path: "email", "The signer's e-mail address."),
          Input(query: "limit", default: 10, in: 1...20, "The most documents in the answer."),
          Input<Cursor?>(query: "cursor", "`next_cursor` of an earlier answer."), AtLeast.header, AtLeast.query,
          handler: signed),
      ])
  }

  private static let listSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")), .init("signatures", .array(Signature.listedSchema)),
  ])

  @Sendable
  private func sign(
    _ request: Request, _ document: UUID, _ email: String, _ name: String, _ data: ImageData,
    _ status: SignatureInputs.StatusAfterwards?, _ session: UUID?, _ agrees: Bool?, _ method: String?,
    _ key: IdempotencyKey?
  ) async throws -> Response {
    try Signature.check(email: email, name: name)
    if let method, method.wholeMatch(of: /[a-z][a-z0-9_-]{0,39}/) == nil {
      throw Problem(
        422, "Invalid body", detail: "“\(method.prefix(80))” is not a method: 1 to 40 letters a to z, digits, _ and -",
        field: "/method")
    }
    try request.caller.require(name: email, in: "/signer_email")
    let metadata = request.metadata(named: email)
    let keyed = KeyedRequest(
      key, request, actor: metadata.actor,
      [document.description, email, name, SHA256.hash(data.bytes).hexadecimal, status?.rawValue]
        + (session == nil && agrees == nil && method == nil
          ? [] : [session?.description, agrees.map { "\($0)" }, method]))
    return try await store.once(keyed) {
      // Refused without an object that nobody needs.
      let id = Self.id(of: email, on: document, in: session)
      let loaded = try await AggregateStore<Document>(store).load(document.description)
      guard loaded.state?.signatures.contains(id) != true || loaded.state?.isDeleted == true else {
        throw SignatureRefusal.signedAlready
      }
      _ = try Document.decide(.sign(signature: id, at: .now()), loaded.state)
      try Self.check(session, agrees, method, open: loaded.state?.openSession)
      if let session {
        let open = try await AggregateStore<SigningSession>(store).load(session.description)
        _ = try SigningSession.decide(.sign(email: email, signature: id, at: .now()), open.state)
      }
      let image = try await images.examine(data.bytes, of: document)
      try await images.store(data.bytes, as: image)
      return try await append(document, email, name, image, session, agrees, method, metadata, keyed)
    }
  }

  /// What is signed in a session says which one, and agrees to its text; the session may be another one by now.
  private static func check(_ session: UUID?, _ agrees: Bool?, _ method: String?, open: UUID?) throws(Problem) {
    guard session == open else {
      throw Problem(
        409, "Conflict",
        detail: open == nil
          ? "no signing session is open on the document: read it again"
          : "another signing session is open on the document: read it, and name it by session_id",
        field: "/session_id")
    }
    guard session != nil || (agrees == nil && method == nil) else {
      throw Problem(
        409, "Conflict", detail: "consent and method belong to a signing session: name it by session_id",
        field: "/session_id")
    }
    guard session == nil || agrees == true else {
      throw Problem(
        422, "Invalid body", detail: "the document is signed in a session: send “consent”: true to agree to its text",
        field: "/consent")
    }
  }

  /// The signature's event, the document's, and those of an open session, in one transaction.
  private func append(
    _ document: UUID, _ email: String, _ name: String, _ image: SignatureImage, _ session: UUID?, _ agrees: Bool?,
    _ method: String?, _ metadata: EventMetadata, _ keyed: KeyedRequest?
  ) async throws -> Response {
    let id = Self.id(of: email, on: document, in: session)
    do {
      var done: SigningSession?
      let signature = try await store.together(
        metadata: metadata,
        command: keyed.map { ($0.key, $0.request, { (signature: Signature) in Self.answer(signature).bytes }) }
      ) { unit in
        let loaded = try await unit.load(document.description, Document.self)
        let signed = SignedDocument(contentHash: loaded.state?.content?.hash, version: loaded.version)
        let now = Timestamp.now()
        var (closes, consent): (UUID?, SignatureConsent?) = (nil, nil)
        try Self.check(session, agrees, method, open: loaded.state?.openSession)
        if let session {
          let open = try await unit.load(session.description, SigningSession.self)
          if open.state?.status == .open { try await sessions.noteSeal(open.state, in: 30) }
          let after = try unit.execute(
            .sign(email: email, signature: id, at: now), on: session.description, open)
          if after?.status != .open { closes = session }
          done = after
          consent = after.map {
            SignatureConsent(
              session: session, textHash: $0.consentHash, method: method ?? (image.isImage ? "drawn" : "typed"))
          }
        }
        try unit.execute(.sign(signature: id, closes: closes, at: now), on: document.description, loaded)
        let command = SignatureCommand.give(
          id: id, document: document, email: email, name: name, image: image, signed: signed, consent: consent, at: now)
        guard let signature = try unit.execute(command, on: id.description, nil, as: Signature.self) else {
          throw SignatureRefusal.signedAlready
        }
        return signature
      }
      // Otherwise it is noticed later.
      if done?.isToBeSealed == true { try? await sessions.noteSeal(done, in: 0) }
      return Self.answer(signature).response
    } catch AppendError.versionConflict(_, .noStream, _) {
      throw SignatureRefusal.signedAlready
    }
  }

  /// One person signs a document once, and once in each session: the id follows from them. Version 8 of RFC 9562.
  private static func id(of email: String, on document: UUID, in session: UUID?) -> UUID {
    let hash = SHA256.hash(
      Array("\(document)\n\(email.lowercased())\(session.map { "\n\($0)" } ?? "")".utf8))
    func integer(_ range: Range<Int>) -> UInt64 { hash[range].reduce(0) { $0 << 8 | UInt64($1) } }
    return UUID(
      high: integer(0..<8) & ~0xF000 | 0x8000, low: integer(8..<16) & ~(0xC000 << 48) | 0x8000 << 48)
  }

  private static func answer(_ signature: Signature) -> KeptAnswer {
    KeptAnswer(
      201,
      headers: [
        ("Location", "/v1/documents/\(signature.documentID)/signatures"),
        ReadToken.field(of: [
          ReadToken(Document.stream(signature.documentID.description), signature.signed.version.next),
          ReadToken(Signature.stream(signature.id.description), signature.version),
        ]),
      ], body: signature.rowImage)
  }

  private static let signedSchema = JSONSchema.object([
    .init(
      "documents",
      .array(
        .object([
          .init("id", .string(format: "uuid")), .init("count", .integer, "Signatures on the document."),
          .init("signed_at", .string(format: "date-time"), "When the latest was given."),
          .init(
            "signatures",
            .array(
              .object([
                .init("id", .string(format: "uuid")), .init("signer_email", .string()),
                .init("signer_name", .string()), .init("status", .string()), .init("document_version", .integer),
                .init("document_sha256", .nullable(.string())), .init("created_at", .string(format: "date-time")),
                .init("version", .integer),
              ]))),
        ]))), .init("next_cursor", .nullable(.string()), "null on the last page."),
  ])

  @Sendable
  private func signed(
    _ request: Request, _ email: String, _ limit: Int, _ cursor: Cursor?, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query, request)
    var (entries, next) = try await search.documents(signedBy: email, after: cursor?.sort, limit: limit)
    if let access = request.access, !request.caller.seesAll {
      // Others' signatures are beside the caller's: a document that he may not see any more is left out.
      entries = try await access.visible(entries, to: request.caller)
    }
    return .page("documents", entries, next: next)
  }

  @Sendable
  private func list(_ request: Request, _ id: UUID) async throws -> Response {
    let list = SignatureList(store)
    let document = try await list.document(id)
    let signatures = try await list.signatures(on: document)
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("document_id", id.description)
      writer.array("signatures", of: signatures) { writer, signature in
        let holds = signature.signed.contentHash == document.content?.hash
        writer.splice(signature.rowImage.dropLast() + Array(#","holds":\#(holds)}"#.utf8))
      }
    }
    return .json(writer.bytes)
  }
}

extension Signature {
  /// The row image, as every reader gets it.
  static let schema = JSONSchema.named("Signature", .object(members))

  static let listedSchema = JSONSchema.object(
    members + [.init("holds", .boolean, "Whether the content is still the one that was signed.")])

  private static let members: [JSONSchema.Property] = [
    .init("id", .string(format: "uuid")), .init("document_id", .string(format: "uuid")),
    .init("signer_email", .string()), .init("signer_name", .string()),
    .init("s3_key", .string(), "Key of the drawn signature in the object store."),
    .init("image", .boolean, "Whether the bytes are a PNG, JPEG or SVG."), .init("content_type", .string()),
    .init("content_size", .integer, "Bytes."), .init("signature_sha256", .string()), .init("status", .string()),
    .init("document_version", .integer, "The version that was signed."),
    .init("document_sha256", .nullable(.string()), "SHA-256 of the content that was signed; null if there was none."),
    .init("session_id", .string(format: "uuid"), isRequired: false, "The signing session, if it was given in one."),
    .init("consent_sha256", .string(), isRequired: false, "SHA-256 of the text that the signer agreed to."),
    .init("method", .string(), isRequired: false, "drawn, typed, …"),
    .init("created_at", .string(format: "date-time")), .init("version", .integer),
  ]
}
