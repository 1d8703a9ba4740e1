import HTTPClient
import JSON
import Support
import Testing

extension RunningAnnals {
  fileprivate func reads(_ source: String) async throws -> Int {
    let text = String(
      decoding: try await client.send(HTTPRequest(.get, operationsURL + "/metrics", timeout: .seconds(45))).body,
      as: UTF8.self)
    let name = #"annals_document_reads_total{source="\#(source)"} "#
    return text.split(separator: "\n").filter { $0.hasPrefix(name) }.compactMap { Int($0.dropFirst(name.count)) }
      .reduce(0, +)
  }
}

@Suite("Documents that are read much", .workLimit(minutes: 5)) struct HotDocumentTests {
  @Test("come from memory, every read counted; a change shows at once, and nobody gets less than he has seen")
  func hot() async throws {
    // One reactor: all reads meet in it.
    try await withAnnals(["ANNALS_HTTP_REACTORS": "1"]) { annals in
      let created = try await annals.send(.post, "/documents", #"{"title":"0"}"#)
      let id = try #require(created.json["id"]?.string)
      var count = 0
      func read(_ headers: [(name: String, value: String)] = []) async throws -> HTTPResponse {
        count += 1
        return try await annals.send(.get, "/documents/\(id)", headers: headers).response
      }
      // At once: on a busy machine a reader alone would not be fast enough to make it hot.
      func readTogether() async throws -> Set<String> {
        count += 100
        return try await withThrowingTaskGroup(of: String?.self) { group in
          for _ in 0..<100 {
            group.addTask { try await annals.send(.get, "/documents/\(id)", headers: []).json["title"]?.string }
          }
          return try await group.reduce(into: []) { $0.insert($1 ?? "") }
        }
      }
      try await eventually("it is read from memory", on: annals.reactor) {
        _ = try await readTogether()
        return try await annals.reads("memory") > 0
      }
      for number in 1...20 {
        let changed = try await annals.send(.patch, "/documents/\(id)", #"{"title":"\#(number)"}"#)
        let token = try #require(changed.response.header("annals-token"))
        // Whoever has seen the change gets it, by the token or by the ETag.
        let after = try await read([("Annals-At-Least", token)])
        #expect(try JSONValue(parsing: after.body)["title"] == .string("\(number)"))
        let known = try await read([("If-None-Match", "\"\(number + 1)\"")])
        #expect(known.status == 304 && known.body.isEmpty)
        let older = try await read([("If-None-Match", "\"\(number)\"")])
        #expect(older.status == 304 || older.status == 200)
      }
      // The others get it within moments: the memory is told, the view in Redis follows.
      try await eventually("everybody sees the last change", on: annals.reactor) {
        try await JSONValue(parsing: read().body)["title"] == "20"
      }
      try await eventually("it is read from memory again", on: annals.reactor) {
        let before = try await annals.reads("memory")
        #expect(try await readTogether() == ["20"])
        return try await annals.reads("memory") > before
      }
      let statistics = try await annals.send(.get, "/documents/\(id)/stats").json
      #expect(
        statistics["total_views"] == .integer(Int64(count)) && statistics["unique_views"] == 1,
        "\(statistics), \(count)")
      let kept = try await annals.send(.delete, "/documents/\(id)")
      #expect(kept.status == 204)
      #expect(try await annals.send(.get, "/documents/\(id)").status == 410)
    }
  }

  @Test("are shown by no reactor any more when they are deleted, or a share is taken back")
  func takenBack() async throws {
    try await withAnnals(["ANNALS_HTTP_REACTORS": "2"]) { annals in
      let token = try await annals.send(.get, "/auth/token?user_id=jane&email=jane@x.org").json["access_token"]?.string
      let jane = [("Authorization", "Bearer \(token ?? "")")]
      let created = try await annals.send(.post, "/documents", #"{"title":"0"}"#)
      let id = try #require(created.json["id"]?.string)
      let share = "/documents/\(id)/shares/user:jane"
      func readers(_ count: Int) async throws -> Set<Int> {
        // Each connection is another reactor's.
        try await withThrowingTaskGroup(of: Int.self) { group in
          for _ in 0..<count {
            group.addTask { try await annals.send(.get, "/documents/\(id)", headers: jane).status }
          }
          return try await group.reduce(into: []) { $0.insert($1) }
        }
      }
      for _ in 0..<3 {
        #expect(try await annals.send(.put, share, #"{"rights":["view"]}"#).status == 200)
        let before = try await annals.reads("memory")
        try await eventually("she reads it from memory", on: annals.reactor) {
          let statuses = try await readers(200)
          return try await annals.reads("memory") > before + 20 && statuses == [200]
        }
        #expect(try await annals.send(.delete, share).status == 200)
        #expect(try await readers(100) == [404])
      }
      #expect(try await annals.send(.delete, "/documents/\(id)").status == 204)
      #expect(try await readers(50) == [404])
    }
  }
}
