import Postgres
import Domain
import EventStore
import Events
import HTTPClient
import Identifiers
import JSON
import Reactor
import Support
import Testing
import Time

extension RunningAnnals {
  fileprivate func document(_ content: String = "The rent is 900.") async throws -> String {
    let created = try await send(.post, "/documents", #"{"title":"Lease <b>&","content":"\#(content)"}"#)
    return try #require(created.json["id"]?.string)
  }

  fileprivate func open(_ document: String, _ members: String) async throws -> JSONValue {
    let answer = try await send(.post, "/documents/\(document)/signing-sessions", "{\(members)}")
    #expect(answer.status == 201, "\(answer.json)")
    return answer.json
  }

  fileprivate func sign(
    _ document: String, _ email: String, in session: JSONValue?, _ more: String = #","consent":true"#
  ) async throws -> (status: Int, json: JSONValue, response: HTTPResponse) {
    try await send(
      .post, "/signatures",
      #"{"document_id":"\#(document)","signer_email":"\#(email)","signer_name":"N","signature_data":"aGk="\#(more)"#
        + (session?["id"]?.string.map { #","session_id":"\#($0)"}"# } ?? "}"))
  }
}

private let both =
  #""participants":[{"email":"jane@x.org","name":"Jane"},{"email":"legal@x.org","name":"Legal","role":"approver"}]"#

@Suite("Signing sessions", .workLimit(minutes: 5)) struct SigningTests {
  @Test("Several sign and approve in their order; the content stays; a receipt says who, what and when")
  func session() async throws {
    try await withAnnals { annals in
      let document = try await annals.document()
      let session = try await annals.open(document, both + #","order":"sequence","consent":"I agree to the lease.""#)
      let path = try "/documents/\(document)/signing-sessions/\(#require(session["id"]?.string))"
      #expect(session["status"] == "open" && session["document_version"] == 1)
      #expect(session["participants"]?.array?.map { $0["turn"] } == [true, false])
      // The content stays as it is, whatever the status says.
      #expect(try await annals.send(.patch, "/documents/\(document)", #"{"status":"viewed"}"#).status == 200)
      let other = try await annals.send(
        .put, "/documents/\(document)/content", "The rent is 1.", contentType: "text/plain")
      #expect(other.status == 409, "\(other.json)")
      #expect(try await annals.send(.delete, "/documents/\(document)").status == 409)
      #expect(try await annals.send(.post, "/documents/\(document)/signing-sessions", "{\(both)}").status == 409)
      // Nobody else, not yet, not without consent.
      let approval = #"{"email":"legal@x.org"}"#
      #expect(try await annals.send(.post, path + "/approve", approval).status == 409)
      #expect(try await annals.sign(document, "mallory@x.org", in: session).status == 409)
      let silent = try await annals.sign(document, "jane@x.org", in: session, "")
      #expect(silent.status == 422 && silent.json["field"] == "/consent", "\(silent.json)")
      // Nor without a word about the session, nor in one that is not open.
      let nowhere = try await annals.sign(document, "jane@x.org", in: nil, "")
      #expect(nowhere.status == 409 && nowhere.json["field"] == "/session_id", "\(nowhere.json)")
      #expect(
        try await annals.sign(
          document, "jane@x.org", in: try JSONValue(parsing: Array(#"{"id":"\#(UUID.version7())"}"#.utf8))
        ).status == 409)
      let signed = try await annals.sign(document, "jane@x.org", in: session)
      #expect(signed.status == 201, "\(signed.json)")
      #expect(signed.json["session_id"] == session["id"] && signed.json["consent_sha256"] == session["consent_sha256"])
      #expect(signed.json["method"] == "typed" && signed.json["document_sha256"] == session["document_sha256"])
      let approved = try await annals.send(.post, path + "/approve", approval)
      #expect(approved.status == 200 && approved.json["status"] == "completed", "\(approved.json)")
      #expect(try await annals.send(.post, path + "/cancel", "{}").status == 409)
      let late = try await annals.sign(document, "john@x.org", in: session)
      #expect(late.status == 409 && late.json["field"] == "/session_id", "\(late.json)")
      // It is over: the content may change, and the signature does not hold for the new one.
      func holds() async throws -> JSONValue? {
        try await annals.send(.get, "/documents/\(document)/signatures").json["signatures"]?.array?.first?["holds"]
      }
      #expect(try await holds() == true)
      let changed = try await annals.send(
        .put, "/documents/\(document)/content", "The rent is 1.", contentType: "text/plain")
      #expect(changed.status == 200, "\(changed.json)")
      #expect(try await holds() == false)
      let receipt = try await annals.send(.get, path + "/receipt").json
      #expect(receipt["holds"] == false && receipt["session"]?["status"] == "completed")
      #expect(receipt["signatures"]?.array?.map { $0["id"] } == [signed.json["id"]])
      let page = try await annals.send(.get, path + "/receipt", headers: [("Accept", "text/html")]).response
      let text = String(decoding: page.body, as: UTF8.self)
      #expect(text.contains("Lease &lt;b&gt;&amp;") && text.contains("I agree to the lease.") && !text.contains("<b>"))
      #expect(
        try await annals.send(.get, "/documents/\(document)/signing-sessions").json["sessions"]?.array?.count == 1)
      let audit = try await annals.send(.get, "/documents/\(document)/audit").json["entries"]?.array ?? []
      #expect(
        audit.compactMap { $0["type"]?.string }.filter { $0 != "DocumentShared" } == [
          "DocumentCreated", "DocumentSigningOpened", "DocumentStatusChanged", "DocumentSigned",
          "DocumentSigningClosed",
          "DocumentContentReplaced",
        ])
    }
  }

  @Test("One is declined, one is cancelled, one is opened once under its key")
  func ends() async throws {
    try await withAnnals { annals in
      let document = try await annals.document()
      func path(_ session: JSONValue) throws -> String {
        try "/documents/\(document)/signing-sessions/\(#require(session["id"]?.string))"
      }
      let opened = try await annals.open(document, both)
      let first = try path(opened)
      #expect(try await annals.sign(document, "jane@x.org", in: opened).status == 201)
      let declined = try await annals.send(.post, first + "/decline", #"{"email":"legal@x.org","reason":"too dear"}"#)
      #expect(declined.json["status"] == "declined" && declined.json["reason"] == "too dear", "\(declined.json)")
      // Who has signed in a session that failed signs again in the next one.
      let again = try await annals.open(document, both)
      let second = try path(again)
      #expect(try await annals.sign(document, "jane@x.org", in: again).status == 201)
      // Who looks on without taking part hears no names.
      let token = try await annals.send(.get, "/auth/token?user_id=vera&email=vera@x.org").json["access_token"]?.string
      let vera = [("Authorization", "Bearer \(token ?? "")")]
      #expect(try await annals.send(.get, second, headers: vera).status == 404)
      #expect(
        try await annals.send(.put, "/documents/\(document)/shares/user:vera", #"{"rights":["view"]}"#).status == 200)
      for path in [second, second + "/receipt", "/documents/\(document)/signing-sessions"] {
        let answer = try await annals.send(.get, path, headers: vera)
        let text = String(decoding: answer.response.body, as: UTF8.self)
        #expect(answer.status == 200 && !text.contains("x.org") && !text.contains("too dear"), "\(text)")
      }
      // Who takes part sees the document and the session, until it ends.
      let jane = try await annals.send(.get, "/auth/token?user_id=jane&email=jane@x.org").json["access_token"]?.string
      let asJane = [("Authorization", "Bearer \(jane ?? "")")]
      #expect(
        try await annals.send(.get, second, headers: asJane).json["participants"]?.array?.first?["email"]
          == "jane@x.org")
      #expect(
        try await annals.send(.post, second + "/cancel", #"{"reason":"a mistake"}"#).json["status"] == "cancelled")
      #expect(try await annals.send(.get, second, headers: asJane).status == 404)
      let key = [("X-Actor", "alice"), ("Idempotency-Key", "session-\(document)")]
      let bodies = try await [
        annals.send(.post, "/documents/\(document)/signing-sessions", "{\(both)}", headers: key),
        annals.send(.post, "/documents/\(document)/signing-sessions", "{\(both)}", headers: key),
      ]
      #expect(bodies.map(\.status) == [201, 201] && bodies[0].json == bodies[1].json)
      let all = try await annals.send(.get, "/documents/\(document)/signing-sessions").json["sessions"]?.array ?? []
      #expect(all.map { $0["status"] } == ["open", "cancelled", "declined"])
      let other = try await annals.document()
      let id = try #require(bodies[0].json["id"]?.string)
      #expect(try await annals.send(.get, "/documents/\(other)/signing-sessions/\(id)").status == 404)
      #expect(try await annals.send(.post, "/documents/\(other)/signing-sessions/\(id)/cancel", "{}").status == 404)
    }
  }

  @Test("A session ends by itself at its time, and reminds those whose turn it is")
  func due() async throws {
    try await withAnnals { annals in
      let document = try await annals.document()
      let end = Timestamp(microseconds: Timestamp.now().microseconds + 2_000_000)
      let session = try await annals.open(document, both + #","expires_at":"\#(end)""#)
      let path = try "/documents/\(document)/signing-sessions/\(#require(session["id"]?.string))"
      try await eventually("the session is over", on: annals.reactor) {
        try await annals.send(.get, path).json["status"] == "expired"
      }
      #expect(
        try await annals.send(.put, "/documents/\(document)/content", "new", contentType: "text/plain").status == 200)

      // Reminders come once a minute at most: this one was due before anybody looked.
      let store = EventStore(annals.pool)
      let (id, opened) = (UUID.version7(), Timestamp(microseconds: Timestamp.now().microseconds - 90_000_000))
      let command = SigningSessionCommand.open(
        id: id, document: try #require(UUID(document)), shown: SignedDocument(contentHash: nil, version: 1),
        order: .parallel,
        participants: [Participant(email: "jane@x.org", name: "Jane", role: .signer)], consent: "c", consentHash: "h",
        expires: nil, reminderInterval: .seconds(60), by: "alice", at: opened)
      let state = try await AggregateStore<SigningSession>(store).create(
        id.description, command, metadata: EventMetadata(actor: "alice"))
      try await DueTimes(store, category: SigningSession.category).note(id.description, at: try #require(state.due))
      // A session that cannot be read holds nothing up, nor does a time that was noted for what never came.
      let broken = UUID.version7().description
      _ = try await store.append(
        [NewEvent(type: "SigningSessionOfTomorrow", schemaVersion: 1, data: Array("{}".utf8), change: nil)],
        to: SigningSession.stream(broken), expecting: .noStream, metadata: EventMetadata(actor: "alice"))
      try await DueTimes(store, category: SigningSession.category).note(broken, at: opened)
      try await DueTimes(store, category: SigningSession.category).note(UUID.version7().description, at: opened)
      try await eventually("Jane is reminded", on: annals.reactor) {
        try await AggregateStore<SigningSession>(store).load(id.description).state?.remindedAt != nil
      }
      let next = Query("", "select stream_id from annals.due_times where due_at > now() + interval '30 seconds'")
      try await eventually("the next reminder is noted", on: annals.reactor) {
        try await annals.pool.query(next).map { try $0.get(0, as: String.self) }.contains(id.description)
      }
    }
  }
}
