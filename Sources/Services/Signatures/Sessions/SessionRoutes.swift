public import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Time

/// `/documents/{id}/signing-sessions`: several people sign one document.
struct SessionRoutes: Sendable {
  private let sessions: SigningSessions
  private let list: SignatureList

  /// The most sessions in an answer.
  private static let page = 50

  private let content: ContentAnswer

  init(_ sessions: SigningSessions, _ content: ContentAnswer) {
    (self.sessions, list, self.content) = (sessions, SignatureList(sessions.store), content)
  }

  private static let path = "/documents/{id}/signing-sessions"

  var group: RouteGroup {
    let session = Input<UUID>(path: "session", "The session's id.")
    let email = Input<String>(
      field: "email", schema: .string(format: "email", maxLength: 254), "The participant: the caller's own address.")
    let answer = Answer(200, "The session.", schema: SigningSession.schema)
    return RouteGroup(
      "Signing sessions",
      routes: [
        Route(
          .post, Self.path,
          "Ask several people to sign or approve a document. Its content stays as it is until the session ends.",
          right: .own,
          body: .fields(
            limit: 256 << 10,
            example:
              #"{"participants": [{"email": "jane@example.com", "name": "Jane Doe"}], "consent": "I agree to sign electronically."}"#
          ),
          answers: [Answer(201, "The session.", schema: SigningSession.schema)], SignatureInputs.document,
          Input<ParticipantList>(field: "participants", "Who is asked, in this order."),
          Input<SigningSession.Order?>(
            optional: "order", "sequence: each when all before him are done; parallel (default): all at once."),
          Input<String?>(
            optional: "consent", schema: .string(minLength: 1, maxLength: SigningSession.maximumText),
            "What each signer agrees to."),
          Input<Timestamp?>(optional: "expires_at", "When it ends by itself."),
          Input<Int64?>(
            optional: "remind_every_seconds", schema: .integer(in: 60...31_622_400),
            "How often those whose turn it is are reminded: by an event."),
          Input<Bool?>(
            optional: "seal",
            "Seal the PDF once the session is completed (PAdES). Missing: if a key is set and the content is a PDF."),
          IdempotencyKey.input, handler: open),
        Route(
          .get, Self.path, "The newest signing sessions of a document.", right: .view,
          answers: [Answer(200, "The sessions.", schema: Self.listSchema)], SignatureInputs.document
        ) { request, id in
          var writer = JSONWriter()
          var found: [SigningSession] = []
          for session in try await sessions.sessions(of: id, limit: Self.page) {
            found.append(try await shown(session, to: request))
          }
          writer.object { writer in
            writer.member("document_id", id.description)
            writer.array("sessions", of: found) { $0.splice($1.rowImage) }
          }
          return .json(writer.bytes)
        },
        Route(
          .get, Self.path + "/{session}", "A signing session.", right: .view, answers: [answer],
          SignatureInputs.document, session
        ) { request, id, session in
          .json(try await shown(sessions.session(session, of: id), to: request).rowImage)
        },
        Route(
          .post, Self.path + "/{session}/approve", "Approve, as a participant who is asked for that.", right: .sign,
          body: .fields(limit: 8_192, example: #"{"email": "jane@example.com"}"#), answers: [answer],
          SignatureInputs.document, session, email
        ) { request, id, session, email in
          try request.caller.require(name: email, in: "/email")
          return try await act(session, id, request.metadata(named: email)) { .approve(email: email, at: $0) }
        },
        Route(
          .post, Self.path + "/{session}/decline", "Decline to sign or approve: the session ends.", right: .sign,
          body: .fields(limit: 16_384, example: #"{"email": "jane@example.com", "reason": "the rent is wrong"}"#),
          answers: [answer], SignatureInputs.document, session, email,
          Input<String>(
            field: "reason", schema: .string(minLength: 1, maxLength: SigningSession.maximumText), "Why.")
        ) { request, id, session, email, reason in
          try request.caller.require(name: email, in: "/email")
          return try await act(session, id, request.metadata(named: email)) {
            .decline(email: email, reason: reason, at: $0)
          }
        },
        Route(
          .post, Self.path + "/{session}/cancel", "Cancel a signing session.", right: .own,
          body: .fields(limit: 16_384, example: #"{"reason": "sent to the wrong person"}"#), answers: [answer],
          SignatureInputs.document, session,
          Input<String?>(
            optional: "reason", schema: .string(minLength: 1, maxLength: SigningSession.maximumText), "Why.")
        ) { request, id, session, reason in
          try await act(session, id, request.metadata()) { .cancel(reason: reason, at: $0) }
        },
        Route(
          .get, Self.path + "/{session}/receipt",
          "Who has signed what, when and under which consent: JSON, or a page for `Accept: text/html`.", right: .view,
          answers: [
            Answer(200, "The receipt; of an open session, so far.", schema: SessionReceipt.schema)
          ], SignatureInputs.document, session
        ) { request, id, session in
          let document = try await list.document(id)
          let session = try await sessions.session(session, of: id)
          let isSeen = try await sees(session, request)
          let receipt = SessionReceipt(
            isSeen ? session : session.withoutNames, document, isSeen ? try await list.signatures(on: document) : [])
          return request.headers["Accept"]?.contains("text/html") == true ? receipt.page : .json(receipt.json)
        },
        Route(
          .get, Self.path + "/{session}/sealed", "The PDF that was signed, with its seal.", right: .view,
          answers: [
            Answer(200, "The PDF.", schema: .any, mediaType: DocumentSealer.type),
            Answer(206, "The range that was asked for.", schema: .any, mediaType: DocumentSealer.type),
            Answer(304, "The caller has it: If-None-Match names its ETag."),
            Answer(416, "The content has no such range."),
          ], SignatureInputs.document, session
        ) { request, id, session in
          let session = try await sessions.session(session, of: id)
          guard let seal = session.seal else {
            throw Problem(
              404, "Not found",
              detail: session.isToBeSealed
                ? "the seal is not made yet: ask again in some seconds"
                : session.sealProblem.map { "the session could not be sealed: \($0)" }
                  ?? "the session has no seal")
          }
          return try await content.answer(request, seal.content)
        },
      ])
  }

  /// Names and reasons are for those who may see the document's history, and for those who take part.
  private func sees(_ session: SigningSession, _ request: Request) async throws -> Bool {
    let caller = request.caller
    if caller.seesAll || session.participants.contains(where: { caller.isCalled($0.email) }) { return true }
    return try await request.access?.permissions(of: caller, on: session.documentID)?.contains(.own) ?? false
  }

  private func shown(_ session: SigningSession, to request: Request) async throws -> SigningSession {
    try await sees(session, request) ? session : session.withoutNames
  }

  private static let listSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")), .init("sessions", .array(SigningSession.schema)),
  ])

  static let defaultConsent = "I agree to sign this document electronically."

  @Sendable
  private func open(
    _ request: Request, _ id: UUID, _ participants: ParticipantList, _ order: SigningSession.Order?, _ consent: String?,
    _ expires: Timestamp?, _ seconds: Int64?, _ seal: Bool?, _ key: IdempotencyKey?
  ) async throws -> Response {
    let metadata = request.metadata()
    let opening = SigningSessions.Opening(
      order: order ?? .parallel, participants: participants.list, consent: consent ?? Self.defaultConsent,
      expires: expires, reminderInterval: seconds.map { .seconds($0) }, seal: seal)
    let keyed = KeyedRequest(
      key, request, actor: metadata.actor,
      [
        id.description, opening.order.rawValue, opening.consent, expires?.description, seconds.map { "\($0)" },
      ] + (seal.map { ["\($0)"] } ?? []) + opening.participants.flatMap { [$0.email, $0.name, $0.role.rawValue] })
    return try await sessions.store.once(keyed) {
      let command = keyed.map { ($0.key, $0.request, { (session: SigningSession) in Self.created(session).bytes }) }
      return Self.created(try await sessions.open(on: id, opening, metadata: metadata, command: command)).response
    }
  }

  private static func created(_ session: SigningSession) -> KeptAnswer {
    KeptAnswer(
      201, headers: [("Location", "/v1/documents/\(session.documentID)/signing-sessions/\(session.id)")],
      body: session.rowImage)
  }

  private func act(
    _ session: UUID, _ document: UUID, _ metadata: EventMetadata, _ command: (Timestamp) -> SigningSessionCommand
  ) async throws -> Response {
    .json(try await sessions.execute(session, of: document, metadata: metadata, command).rowImage)
  }
}

extension SigningSession.Order: InputValue {
  public static var schema: JSONSchema { .string(values: allCases.map(\.rawValue)) }
}

/// Who is asked.
private struct ParticipantList: InputValue {
  let list: [Participant]

  static let schema = JSONSchema.array(
    .object([
      .init("email", .string(format: "email", maxLength: 254)),
      .init("name", .string(minLength: 1, maxLength: Signature.maximumName)),
      .init(
        "role", .string(values: Participant.Role.allCases.map(\.rawValue)), isRequired: false,
        "signer if it is missing."),
    ]))

  init(json: JSONValue) throws(JSONError) {
    guard let values = json.array else { throw JSONError(.wrongType(expected: "array", found: json.kind)) }
    var list: [Participant] = []
    for value in values.prefix(SigningSession.maximumParticipants + 1) {
      var fields = try JSONFields(value)
      list.append(try Participant(&fields))
      try fields.end()
    }
    self.list = list
  }
}

extension SigningSession {
  /// The row image, as every reader gets it.
  static let schema = JSONSchema.named(
    "SigningSession",
    .object([
      .init("id", .string(format: "uuid")), .init("document_id", .string(format: "uuid")),
      .init("document_version", .integer, "The version that is signed."),
      .init("document_sha256", .nullable(.string())),
      .init("status", .string(values: Status.allCases.map(\.rawValue))),
      .init("order", .string(values: Order.allCases.map(\.rawValue))),
      .init(
        "participants",
        .array(
          .object([
            .init("email", .string()), .init("name", .string()),
            .init("role", .string(values: Participant.Role.allCases.map(\.rawValue))),
            .init("turn", .boolean, "Whether he is asked now."),
            .init("signature_id", .nullable(.string(format: "uuid"))),
            .init("done_at", .nullable(.string(format: "date-time"))),
          ]))), .init("consent", .string()), .init("consent_sha256", .string()),
      .init("expires_at", .nullable(.string(format: "date-time"))), .init("remind_every_seconds", .nullable(.integer)),
      .init("reminded_at", .nullable(.string(format: "date-time"))),
      .init(
        "seal",
        .object([
          .init("status", .string(values: ["pending", "done", "failed"])),
          .init("level", .string(values: SessionSeal.Level.allCases.map(\.rawValue)), isRequired: false),
          .init("size", .integer, isRequired: false), .init("sha256", .string(), isRequired: false),
          .init("certificate_sha256", .string(), isRequired: false),
          .init("sealed_at", .nullable(.string(format: "date-time")), isRequired: false),
          .init("problem", .string(), isRequired: false),
        ]), isRequired: false, "Where the PDF is sealed once the session is completed."),
      .init("declined_by", .nullable(.string())),
      .init("reason", .nullable(.string())),
      .init("created_by", .string()), .init("created_at", .string(format: "date-time")),
      .init("ended_at", .nullable(.string(format: "date-time"))), .init("version", .integer),
    ]))
}
