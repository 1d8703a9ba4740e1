import HTTPClient
import JSON
import Support
import Testing

/// The exchanges of existing clients about the search.
@Suite("Existing clients' search", .workLimit(minutes: 5)) struct SearchExchangeTests {
  private static let agreement = """
    {"title":"Sales Agreement Q4 2025","content":"This text outlines the terms...","created_by":"john.doe@company.com"}
    """

  @Test(
    "find rows with score and highlights beside their fields, with filters and paging; count by status",
    arguments: [Processes.together, .gateway])
  func search(_ processes: Processes) async throws {
    try await withAnnals(searching, processes) { annals in
      func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil
      ) async throws -> (status: Int, json: JSONValue, response: HTTPResponse) {
        try await annals.send(method, path, body, contentType: nil, headers: [])
      }
      let created = try await send(.post, "/documents", Self.agreement)
      let id = created.json["id"]?.string ?? ""
      let row = try await send(.patch, "/documents/\(id)", #"{"status":"viewed"}"#).json
      _ = try await send(.post, "/documents", #"{"title":"Agreement of another","created_by":"jane@company.com"}"#)

      try await eventually("both are found", on: annals.reactor) {
        try await send(.get, "/search?q=agreement&size=10").json["total"] == 2
      }
      let found = try await send(
        .get, "/search?q=agreement&size=10&status=viewed&created_by=john.doe@company.com&from=0&mode=keyword")
      #expect(found.status == 200)
      #expect(found.json["total"] == 1)
      #expect(found.json["from"] == 0)
      #expect(found.json["size"] == 10)
      #expect(found.json["took_ms"]?.integer != nil)
      let hits = found.json["documents"]?.array ?? []
      #expect(hits.count == 1)
      for member in row.object?.members ?? [] { #expect(hits.first?[member.name] == member.value, "\(member.name)") }
      #expect(hits.first?["score"]?.double ?? 0 > 0)
      #expect(hits.first?["highlights"]?["title"] == ["Sales <em>Agreement</em> Q4 2025"])

      let second = try await send(.get, "/search?q=agreement&from=1&size=1").json
      #expect(second["total"] == 2)
      #expect(second["documents"]?.array?.count == 1)

      let counts = try await send(.get, "/aggregations/status")
      #expect(counts.status == 200)
      #expect(counts.json["field"] == "status")
      let values = counts.json["values"]?.array ?? []
      #expect(
        Set(values) == [["key": "created", "count": 1], ["key": "viewed", "count": 1]], "\(counts.json)")
    }
  }

  @Test(
    "ask Elasticsearch directly: the alias counts and finds the documents that are not deleted",
    arguments: [Processes.together, .gateway])
  func operators(_ processes: Processes) async throws {
    try await withAnnals(searching, processes) { annals in
      let kept = try await annals.send(.post, "/documents", Self.agreement)
      let deleted = try await annals.send(.post, "/documents", #"{"title":"Gone"}"#)
      let id = deleted.json["id"]?.string ?? ""
      #expect(try await annals.send(.delete, "/documents/\(id)").status == 204)
      let alias = annals.environment["ANNALS_ELASTICSEARCH_ALIAS"] ?? ""
      func ask(_ path: String) async throws -> JSONValue {
        try JSONValue(parsing: try await annals.client.send(HTTPRequest(.get, try Stack.elasticsearch + path)).body)
      }
      try await eventually("the marker of the deletion is there", on: annals.reactor) {
        try await ask("/\(alias)-1/_count")["count"] == 2
      }
      try await eventually("the alias is there", on: annals.reactor) { try await ask("/\(alias)/_count")["count"] == 1 }
      let hits = try await ask("/\(alias)/_search?q=*")["hits"]?["hits"]?.array ?? []
      #expect(hits.map { $0["_id"] } == [kept.json["id"]])
      let source = hits.first?["_source"]
      for field in [
        "id", "title", "status", "created_by", "content_type", "content_size", "created_at", "updated_at", "version",
      ] { #expect(source?[field] == kept.json[field], "\(field)") }
      #expect(try await ask("/_cluster/health")["status"]?.string != nil)
    }
  }
}
