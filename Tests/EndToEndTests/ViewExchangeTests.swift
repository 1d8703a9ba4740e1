import Postgres
import HTTPClient
import JSON
import Reactor
import Support
import Testing

@Suite("Readers of the views", .serialized, .workLimit(minutes: 5)) struct ViewExchangeTests {
  @Test("see what they have written: lists, counts, search, activity and signatures wait for the token, or say 504")
  func readYourWrites() async throws {
    try await withAnnals(["ANNALS_PROJECTION_VIEWS": ""]) { annals in
      let created = try await annals.send(.post, "/documents", #"{"title":"Lease agreement"}"#)
      let id = created.json["id"]?.string ?? ""
      let token = created.response.header("annals-token") ?? ""
      func ask(_ path: String, _ token: String) async throws -> JSONValue {
        var answer = try await annals.send(.get, path, headers: [("Annals-At-Least", token)])
        // A view that is being made, or a slow machine: told to try again, one tries again. Never is an older state shown.
        try await eventually("\(path) shows it", on: annals.reactor) {
          guard answer.status == 504 else { return true }
          answer = try await annals.send(.get, path, headers: [("Annals-At-Least", token)])
          return false
        }
        #expect(answer.status == 200, "\(path): \(answer.json)")
        return answer.json
      }
      #expect(try await ask("/search?q=lease", token)["total"] == 1)
      for title in ["Second", "Third", "Fourth"] {
        let changed = try await annals.send(.patch, "/documents/\(id)", #"{"title":"\#(title)"}"#)
        let newer = changed.response.header("annals-token") ?? ""
        #expect(try await ask("/search?q=\(title)", newer)["total"] == 1)
        #expect(try await ask("/documents/\(id)", newer)["title"] == .string(title))
        #expect(
          try await ask("/activity?document=\(id)&limit=1", newer)["entries"]?.array?.first?["title"] == .string(title))
      }
      let viewed = try await annals.send(
        .patch, "/documents/\(id)", #"{"status":"pending"}"#, headers: [("X-Actor", "bob")])
      let last = viewed.response.header("annals-token") ?? ""
      #expect(try await ask("/lists/status/pending", last) == ["total": 1, "documents": [.string(id)]])
      #expect(try await ask("/lists/creator/alice", last)["documents"] == [.string(id)])
      let counts = try await ask("/lists/counts", last)["counts"]?.array ?? []
      #expect(counts.map { $0["status"] } == ["pending"])
      let bobs = try await ask("/activity?actor=bob", last)["entries"]?.array ?? []
      #expect(bobs.map { $0["event"]?.string } == ["DocumentStatusChanged"])

      let signed = try await annals.send(
        .post, "/signatures",
        #"{"document_id":"\#(id)","signer_email":"jane@example.com","signer_name":"Jane","signature_data":"aGVsbG8="}"#)
      #expect(signed.status == 201)
      let both = signed.response.header("annals-token") ?? ""
      #expect(both.split(separator: ",").count == 2)
      let documents = try await ask("/signers/jane@example.com/documents", both)["documents"]?.array ?? []
      #expect(documents.map { $0["id"]?.string } == [id])
      #expect(try await ask("/lists/status/signed?at_least=\(both)", both)["total"] == 1)

      let early = try await annals.send(.get, "/lists/counts?at_least=document-\(id):99")
      #expect(early.status == 504)
      #expect(early.json["detail"]?.string?.contains("document-lists shows version") == true)
      #expect(try await annals.send(.get, "/lists/counts?at_least=x").status == 400)
      let verified = try await annals.output(of: RunningAnnals.binary, ["verify"])
      #expect(verified.contains(" 0 differences"), "\(verified)")
    }
  }

  @Test("are not disturbed by operators: a rebuild that is asked for is built, shown and can be given up")
  func rebuilds() async throws {
    try await withAnnals(searching) { annals in
      func admin(_ method: HTTPRequest.Method, _ path: String, _ body: String? = nil) async throws -> (Int, JSONValue) {
        let response = try await annals.client.send(
          HTTPRequest(
            method, annals.operationsURL + path, headers: body == nil ? [] : [("Content-Type", "application/json")],
            body: body.map { Array($0.utf8) }))
        return (response.status, response.body.isEmpty ? .null : try JSONValue(parsing: response.body))
      }
      func live(_ view: String) async throws -> Int64? {
        let views = try await admin(.get, "/admin/rebuilds").1["views"]?.array ?? []
        let generations = views.first { $0["view"]?.string == view }?["generations"]?.array ?? []
        return generations.first { $0["state"] == "live" }?["generation"]?.integer
      }
      #expect(try await annals.send(.post, "/documents", #"{"title":"Lease"}"#).status == 201)
      try await eventually("it is live", on: annals.reactor) { try await live("document-search") == 1 }
      try await eventually("its rebuild is asked for", on: annals.reactor) {
        let (status, answer) = try await admin(.post, "/admin/rebuilds", #"{"view":"document-search"}"#)
        // The first one may still be ending.
        if status == 409 { return false }
        #expect(status == 202)
        #expect(answer["generation"] == 2)
        return true
      }
      try await eventually("it is built", on: annals.reactor) { try await live("document-search") == 2 }
      #expect(try await admin(.delete, "/admin/rebuilds/document-search").0 == 404)
      #expect(try await admin(.post, "/admin/rebuilds", #"{"view":"nothing"}"#).0 == 404)
      try await eventually("it is found", on: annals.reactor) {
        try await annals.send(.get, "/search?q=lease").json["total"] == 1
      }
      let rolledBack = try await annals.output(of: RunningAnnals.binary, ["rebuild", "document-search", "--rollback"])
      #expect(rolledBack.contains("generation 1 of document-search is live"), "\(rolledBack)")
      #expect(try await annals.send(.get, "/search?q=lease").json["total"] == 1)
      let status = try await annals.output(of: RunningAnnals.binary, ["project", "status"])
      #expect(status.contains("1  live") && status.contains("2  kept") && status.contains("up to date"), "\(status)")

      // A change that somebody parked: it is listed, shown, and retried from the log.
      let stream = try #require(
        try await annals.pool.query(.init("", "select stream_id from annals.streams limit 1")).first)
      try await annals.pool.query(
        .init(
          "",
          """
          insert into annals.parked_changes (view, generation, stream_id, version, newest, reason)
          values ('document-search', 1, $1, 1, 1, 'planted')
          """), [.text(try stream.get(0))])
      let parked = try await admin(.get, "/admin/parked").1["parked"]?.array?.first
      #expect(parked?["reason"] == "planted")
      let number = parked?["number"]?.integer ?? 0
      #expect(try await admin(.get, "/admin/parked/\(number)").1["state"] == "parked")
      #expect(try await admin(.post, "/admin/parked/\(number)/eat").0 == 400)
      #expect(try await admin(.post, "/admin/parked/\(number + 1)/retry").0 == 404)
      #expect(try await admin(.post, "/admin/parked/\(number)/retry").0 == 202)
      try await eventually("it is delivered", on: annals.reactor) {
        try await admin(.get, "/admin/parked/\(number)").1["state"] == "delivered"
      }
      #expect(try await admin(.get, "/admin/parked").1["parked"] == [])
    }
  }
}
