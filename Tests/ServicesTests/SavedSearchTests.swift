import HTTPClient
import JSON
import Reactor
import Support
import Testing

@Suite("Saved searches", .workLimit(minutes: 5)) struct SavedSearchServiceTests {
  @Test("find a document once, when it changes so that they find it and their owner may see it")
  func hits() async throws {
    try await withAnnals(searching) { annals in
      func headers(_ name: String) async throws -> [(name: String, value: String)] {
        let token = try await annals.send(.get, "/auth/token?user_id=\(name)&email=\(name)@x.org").json["access_token"]
        return [("Authorization", "Bearer \(token?.string ?? "")")]
      }
      let (alice, bob) = (try await headers("alice"), try await headers("bob"))
      func send(
        _ person: [(name: String, value: String)], _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil
      ) async throws -> (status: Int, json: JSONValue) {
        let answer = try await annals.send(method, path, body, headers: person)
        return (answer.status, answer.json)
      }
      func create(_ person: [(name: String, value: String)], _ body: String) async throws -> String {
        let made = try await send(person, .post, "/documents", body)
        return try #require(made.json["id"]?.string, "\(made)")
      }
      _ = try await create(alice, #"{"title":"Lease of before"}"#)
      let saved = try await send(
        alice, .post, "/saved-searches", #"{"name":"Leases","query":{"q":"lease","tag":"new"}}"#)
      #expect(saved.status == 201, "\(saved)")
      let id = try #require(saved.json["id"]?.string)
      for (wrong, place) in [
        (#"{"name":"X","query":{"q":"\"lease"}}"#, "/query/q"), (#"{"name":"X","query":{}}"#, "/query"),
        (#"{"name":"X","query":{"qq":"1"}}"#, "/query/qq"), (#"{"name":" ","query":{"q":"1"}}"#, "/name"),
        (#"{"name":"X","query":{"type":"none"}}"#, "/query/type"),
        (#"{"name":"X","query":{"where":"a=1"}}"#, "/query/type"),
      ] {
        let answer = try await send(alice, .post, "/saved-searches", wrong)
        #expect(answer.status == 422 && answer.json["field"] == .string(place), "\(wrong) \(answer)")
      }
      let stream = await annals.client.open(
        HTTPRequest(.get, annals.url + "/saved-searches/events", headers: alice, timeout: .seconds(90)))
      #expect(try await stream.head().status == 200)
      var reader = EventReader(stream)

      // A hit is the first change after which it fits; the next ones are none.
      let first = try await create(alice, #"{"title":"Lease one"}"#)
      let foreign = try await create(bob, #"{"title":"Lease of Bob"}"#)
      for (person, document) in [(alice, first), (bob, foreign)] {
        #expect(try await send(person, .patch, "/documents/\(document)", #"{"tags":["new"]}"#).status == 200)
      }
      let event = try #require(try await reader.next())
      #expect(event.name == "search.hit")
      let data = try event.json["data"]
      #expect(data?["search_id"] == .string(id) && data?["document_id"] == .string(first) && data?["version"] == 2)
      #expect(try await send(alice, .patch, "/documents/\(first)", #"{"title":"Lease one b"}"#).status == 200)
      // It is found once it is shared.
      #expect(
        try await send(bob, .put, "/documents/\(foreign)/shares/user:alice", #"{"rights":["view"]}"#).status == 200)
      let second = try #require(try await reader.next())
      #expect(try second.json["data"]?["document_id"] == .string(foreign))
      stream.cancel()

      let hits = try await send(alice, .get, "/saved-searches/\(id)/hits").json
      #expect(hits["hits"]?.array?.map { $0["document_id"] } == [.string(first), .string(foreign)], "\(hits)")
      #expect(hits["hits"]?.array?.first?["title"] == "Lease one b" && hits["next"] == .null)
      // What is not shared any more is not shown any more, and another's searches are not there.
      #expect(try await send(bob, .delete, "/documents/\(foreign)/shares/user:alice").status == 200)
      #expect(try await send(alice, .get, "/saved-searches/\(id)/hits").json["hits"]?.array?.count == 1)
      #expect(try await send(bob, .get, "/saved-searches/\(id)/hits").status == 404)
      #expect(try await send(bob, .delete, "/saved-searches/\(id)").status == 404)
      #expect(try await send(bob, .get, "/saved-searches").json["searches"] == [])
      #expect(try await send(alice, .delete, "/saved-searches/\(id)").status == 204)
      #expect(try await send(alice, .get, "/saved-searches").json["searches"] == [])
    }
  }
}
