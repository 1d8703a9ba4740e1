import Base64
import HTTPClient
import Identifiers
import JSON
import Support
import Testing

@Suite("Links", .workLimit(minutes: 5)) struct LinkTests {
  @Test("show one version to whoever has them, ask for the password, note each use, and end")
  func links() async throws {
    try await withAnnals { annals in
      let created = try await annals.send(.post, "/documents", #"{"title":"First","content":"one"}"#)
      let id = try #require(created.json["id"]?.string)
      #expect(try await annals.send(.patch, "/documents/\(id)", #"{"title":"Second"}"#).status == 200)
      #expect(try await annals.send(.put, "/documents/\(id)/content", "two", contentType: "text/plain").status == 200)
      func make(_ body: String) async throws -> (id: String, url: String) {
        let made = try await annals.send(.post, "/documents/\(id)/links", body)
        #expect(made.status == 201 && made.response.header("cache-control") == "no-store", "\(made.json)")
        return (try #require(made.json["link"]?["id"]?.string), try #require(made.json["url"]?.string))
      }
      func read(_ url: String, _ password: String? = nil) async throws -> (
        status: Int, json: JSONValue, response: HTTPResponse
      ) {
        let headers = password.map { [("Authorization", "Basic " + Base64.standard(Array(":\($0)".utf8)))] } ?? []
        return try await annals.send(.get, url, headers: headers)
      }
      // The first version, whatever came later.
      let first = try await make(#"{"version":1}"#)
      let shown = try await read(first.url)
      #expect(shown.status == 200 && shown.json["title"] == "First" && shown.json["version"] == 1, "\(shown.json)")
      #expect(shown.json["shared_by"] == "alice" && shown.response.header("referrer-policy") == "no-referrer")
      let content = try await read(first.url.replacing("?", with: "/content?"))
      #expect(content.response.body == Array("one".utf8))
      #expect(content.response.header("content-disposition") == "attachment")
      let newest = try await make("{}")
      #expect(try await read(newest.url).json["title"] == "Second")
      // Without its secret there is no link.
      for url in ["/links/\(first.id)", "/links/\(first.id)?token=x", first.url.replacing(first.id, with: newest.id)] {
        #expect(try await read(url).status == 404, "\(url)")
      }
      // HEAD tells size and hash: it is a use too.
      #expect(try await annals.send(.head, first.url.replacing("?", with: "/content?"), headers: []).status == 200)
      let history = try await annals.send(.get, "/documents/\(id)/links/\(first.id)").json
      #expect(history["uses"]?.array?.compactMap { $0["what"]?.string } == ["content", "content", "document"])
      #expect(history["uses"]?.array?.first?["address"] == "127.0.0.1" && history["link"]?["uses"] == 3)

      let closed = try await make(#"{"password":"open sesame","maximum_uses":1}"#)
      let asked = try await read(closed.url)
      #expect(asked.status == 401 && asked.response.header("www-authenticate")?.hasPrefix("Basic") == true)
      #expect(try await read(closed.url, "open says me").status == 401)
      #expect(try await read(closed.url, "open sesame").status == 200)
      #expect(try await read(closed.url, "open sesame").status == 410)
      #expect(try await annals.send(.get, "/documents/\(id)/links/\(closed.id)").json["link"]?["uses"] == 1)

      // Guesses are limited, and nobody is shown what a password was made of.
      let guessed = try await make(#"{"password":"open sesame"}"#)
      for _ in 0..<10 { #expect(try await read(guessed.url, "open says me").status == 401) }
      #expect(try await read(guessed.url, "open sesame").status == 429)
      let events = await annals.client.open(
        // Its heartbeat comes each quarter of a minute.
        HTTPRequest(
          .get, annals.url + "/events?category=share_link&last_event_id=0-\(UUID.version7())", timeout: .seconds(60)))
      var told = ""
      while !told.contains(guessed.id), let piece = try await events.next() {
        told += String(decoding: piece, as: UTF8.self)
      }
      events.cancel()
      #expect(told.contains("ShareLinkCreated") && !told.contains("scrypt") && !told.contains("secret_sha256"))

      #expect(try await annals.send(.delete, "/documents/\(id)/links/\(newest.id)").status == 204)
      #expect(try await annals.send(.delete, "/documents/\(id)/links/\(newest.id)").status == 204)
      #expect(try await read(newest.url).status == 410)
      let all = try await annals.send(.get, "/documents/\(id)/links").json["links"]?.array ?? []
      #expect(all.map { $0["revoked_at"] == .null } == [true, true, false, true])
      for body in [
        #"{"version":99}"#, #"{"password":"short"}"#, #"{"maximum_uses":0}"#, #"{"expires_at":"2020-01-01T00:00:00Z"}"#,
      ] {
        #expect(try await [404, 422].contains(annals.send(.post, "/documents/\(id)/links", body).status), "\(body)")
      }
      let audit = try await annals.send(.get, "/documents/\(id)/audit").json["entries"]?.array ?? []
      #expect(
        audit.compactMap { $0["type"]?.string }.suffix(5) == [
          "DocumentLinked", "DocumentLinked", "DocumentLinked", "DocumentLinked", "DocumentUnlinked",
        ])
      // Deleted is deleted, also for those who have a link.
      #expect(try await annals.send(.delete, "/documents/\(id)").status == 204)
      #expect(try await read(first.url).status == 410)
    }
  }
}
