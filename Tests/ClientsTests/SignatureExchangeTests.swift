import Postgres
import HTTPClient
import JSON
import Kafka
import Reactor
import Support
import Testing

@Suite("Existing clients' signatures", .workLimit(minutes: 5)) struct SignatureExchangeTests {
  private func document(_ annals: RunningAnnals, _ body: String = #"{"title":"Sales Agreement","content":"This"}"#)
    async throws -> String
  {
    let answer = try await annals.send(.post, "/documents", body)
    #expect(answer.status == 201)
    return answer.json["id"]?.string ?? ""
  }

  private func sign(
    _ annals: RunningAnnals, _ id: String, email: String = "client@company.com", data: String = "base64encodedimage==",
    rest: String = #","document_status":"signed""#, headers: [(name: String, value: String)] = []
  ) async throws -> (status: Int, json: JSONValue, response: HTTPResponse) {
    try await annals.send(
      .post, "/signatures",
      #"{"document_id":"\#(id)","signer_email":"\#(email)","signer_name":"Jane Smith","signature_data":"\#(data)"\#(rest)}"#,
      headers: headers)
  }

  @Test(
    "POST /signatures: the row; afterwards the document is signed, one version higher, from each status alike",
    arguments: [Processes.together, .gateway])
  func sign(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      for (number, status) in ["created", "viewed", "pending", "signed"].enumerated() {
        let id = try await document(annals)
        var version: Int64 = 1
        if status != "created" {
          let changed = try await annals.send(.patch, "/documents/\(id)", #"{"status":"\#(status)"}"#)
          #expect(changed.status == 200)
          version = 2
        }
        let rests = [#","document_status":"signed""#, #","document_status":"pending""#, "", ""]
        let answer = try await sign(annals, id, rest: rests[number])
        #expect(answer.status == 201)
        for field in ["id", "document_id", "signer_email", "signer_name", "s3_key", "status", "created_at", "version"] {
          #expect(answer.json[field] != nil, "\(field)")
        }
        #expect(answer.json["image"] == .bool(false))
        #expect(answer.json["document_version"] == .integer(version))
        let token = answer.response.header("annals-token") ?? ""
        let after = try await annals.send(.get, "/documents/\(id)", headers: [("Annals-Token", token)])
        #expect(after.json["status"] == "signed" && after.json["version"] == .integer(version + 1))
        #expect(answer.json["document_sha256"] == after.json["content_sha256"])
        let list = try await annals.send(.get, "/documents/\(id)/signatures")
        // The row, and beside it whether it still holds.
        let listed = try #require(list.json["signatures"]?.array?.first?.object?.members)
        #expect(list.json["signatures"]?.array?.count == 1)
        #expect(listed.dropLast().map { $0 } == answer.json.object?.members)
        #expect(listed.last?.name == "holds" && listed.last?.value == true)
        // The signer is the actor, where nobody else is named.
        let audit = try await annals.send(.get, "/documents/\(id)/audit")
        #expect(audit.json["entries"]?.array?.last?["actor"] == "client@company.com")
        // To look at a signed document does not take its signatures away.
        #expect(try await annals.send(.patch, "/documents/\(id)", #"{"status":"viewed"}"#).status == 200)
        #expect(try await annals.send(.get, "/documents/\(id)/signatures").json["signatures"]?.array?.count == 1)
      }
    }
  }

  @Test(
    "signature_data in each form that is sent; an image is known as one", arguments: [Processes.together, .gateway])
  func data(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      let id = try await document(annals)
      let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
      for (number, (data, isImage)) in [
        ("base64encodedimage==", false), ("base64_encoded_signature_string", false),
        ("base64encoded_signature_image_data_here", false), ("data:image/png;base64,\(png)", true), (png, true),
      ].enumerated() {
        let answer = try await sign(annals, id, email: "client\(number)@company.com", data: data)
        #expect(answer.status == 201, "\(data)")
        #expect(answer.json["image"] == .bool(isImage), "\(data)")
      }
      for data in ["", "a", "a=b=", "äöü", "data:image/png,abc"] {
        let answer = try await sign(annals, id, email: "x@company.com", data: data)
        #expect(answer.status == 422, "\(data)")
      }
    }
  }

  @Test(
    "what must not be: the same signer twice, no such document, a malformed address, a document that cannot be signed",
    arguments: [Processes.together, .gateway])
  func refusals(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      let id = try await document(annals)
      #expect(try await sign(annals, id).status == 201)
      #expect(try await sign(annals, id).status == 409)
      #expect(try await sign(annals, id, email: "CLIENT@company.com").status == 409)
      #expect(try await sign(annals, "0691e6db-dd6b-7fdf-8000-d8a842f9543c").status == 404)
      let malformed = try await sign(annals, id, email: "client")
      #expect(malformed.status == 422 && malformed.json["field"] == "/signer_email")
      let archived = try await document(annals)
      #expect(try await annals.send(.patch, "/documents/\(archived)", #"{"status":"archived"}"#).status == 200)
      #expect(try await sign(annals, archived).status == 409)
      #expect(try await annals.send(.delete, "/documents/\(archived)").status == 204)
      #expect(try await sign(annals, archived).status == 410)
      // The document's own events were written with the signature, or not at all.
      let audit = try await annals.send(.get, "/documents/\(id)/audit")
      #expect(audit.json["entries"]?.array?.count == 2)
    }
  }

  @Test(
    "many sign at once: each signature is there, and the document has a version for each",
    arguments: [Processes.together, .gateway]
  )
  func races(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      let id = try await document(annals)
      let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
        for number in 0..<12 {
          group.addTask { try await sign(annals, id, email: "client\(number % 10)@company.com").status }
        }
        return try await group.reduce(into: [Int]()) { $0.append($1) }
      }
      #expect(statuses.filter { $0 == 201 }.count == 10)
      #expect(statuses.filter { $0 == 409 }.count == 2)
      #expect(try await annals.send(.get, "/documents/\(id)/signatures").json["signatures"]?.array?.count == 10)
      let rows = try await annals.pool.query(
        .init("", "select version from annals.streams where category = 'document'"))
      #expect(try rows[0].get(0, as: Int.self) == 11)
    }
  }

  @Test(
    "Idempotency-Key: the first answer again; another request 422; required nowhere",
    arguments: [Processes.together, .gateway])
  func idempotency(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      let key = [
        (name: "Idempotency-Key", value: "\"8e03978e-40d5-43e8-bc93-6894a57f9324\""), (name: "X-Actor", value: "alice"),
      ]
      let body = #"{"title":"Lease","content":"text"}"#
      let first = try await annals.send(.post, "/documents", body, headers: key)
      #expect(first.status == 201 && first.response.header("idempotent-replayed") == nil)
      let again = try await annals.send(.post, "/documents", body, headers: key)
      #expect(again.status == 201 && again.json == first.json)
      #expect(again.response.header("idempotent-replayed") == "true")
      for name in ["location", "etag", "annals-token"] {
        #expect(again.response.header(name) == first.response.header(name))
      }
      let other = try await annals.send(.post, "/documents", #"{"title":"Other"}"#, headers: key)
      #expect(other.status == 422 && other.json["field"] == "Idempotency-Key")
      // Another caller's key is another key.
      let bob = try await annals.send(
        .post, "/documents", body,
        headers: [
          (name: "Idempotency-Key", value: "8e03978e-40d5-43e8-bc93-6894a57f9324"), (name: "X-Actor", value: "bob"),
        ])
      #expect(bob.status == 201 && bob.json["id"] != first.json["id"])
      let id = first.json["id"]?.string ?? ""
      let signed = try await sign(annals, id, headers: [("Idempotency-Key", "k")])
      let signedAgain = try await sign(annals, id, headers: [("Idempotency-Key", "k")])
      #expect(signed.status == 201 && signedAgain.status == 201 && signedAgain.json == signed.json)
      #expect(signedAgain.response.header("idempotent-replayed") == "true")
      let malformed = try await sign(annals, id, headers: [("Idempotency-Key", "a b")])
      #expect(malformed.status == 400 || malformed.status == 422)
      let rows = try await annals.pool.query(.init("", "select count(*) from annals.events"))
      #expect(try rows[0].get(0, as: Int.self) == 4)
    }
  }

  @Test(
    "each signature is one message on its topic, and one on the document's", arguments: [Processes.together, .gateway])
  func topics(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      let id = try await document(annals)
      let answer = try await sign(annals, id)
      let signatures = annals.topic.replacing("documents", with: "signatures")
      func rows(of topic: String, _ count: Int) async throws -> [JSONValue] {
        let consumer = try KafkaConsumer(
          KafkaOptions(brokers: try Stack.kafka, settings: ["topic.metadata.refresh.interval.ms": "200"]),
          group: Stack.uniqueName("clients"), topics: [topic], on: annals.reactor, logger: quietLogger())
        var rows: [JSONValue] = []
        try await eventually("\(count) messages are on \(topic)", on: annals.reactor) {
          for message in try await consumer.next(maximum: 10, timeout: .milliseconds(200)) {
            rows.append(try JSONValue(parsing: message.value ?? [])["after"] ?? .null)
          }
          return rows.count >= count
        }
        await consumer.close()
        return rows
      }
      let given = try await rows(of: signatures, 1)
      #expect(given == [answer.json])
      let documents = try await rows(of: annals.topic, 2)
      #expect(documents.map { $0["status"] } == ["created", "signed"])
    }
  }
}
