import HTTPClient
import Identifiers
import JSON
import Support
import Testing

/// The exchanges of existing clients about documents, as they send and read them: no header but those shown here.
@Suite("Existing clients' documents", .workLimit(minutes: 5)) struct DocumentExchangeTests {
  private static let agreement = """
    {"title":"Sales Agreement Q4 2025","content":"This agreement outlines the terms...","created_by":"john.doe@company.com"}
    """

  private func send(
    _ annals: RunningAnnals, _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil
  ) async throws -> (status: Int, json: JSONValue, response: HTTPResponse) {
    try await annals.send(method, path, body, contentType: nil, headers: [])
  }

  @Test(
    "create with created_by, and answer the whole row; the list and the row follow",
    arguments: [Processes.together, .gateway])
  func create(_ processes: Processes) async throws {
    try await withAnnals(searching, processes) { annals in
      let created = try await send(annals, .post, "/documents", Self.agreement)
      #expect(created.status == 201)
      let row = created.json
      #expect(row["title"] == "Sales Agreement Q4 2025")
      #expect(row["content_type"] == "text/plain")
      #expect(row["content_size"] == 36)
      #expect(row["s3_key"]?.string?.isEmpty == false)
      #expect(row["status"] == "created")
      #expect(row["created_by"] == "john.doe@company.com")
      #expect(row["version"] == 1)
      for field in ["created_at", "updated_at"] {
        let time = row[field]?.string ?? ""
        #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/) != nil, "\(field): \(time)")
      }
      let id = row["id"]?.string ?? ""
      #expect(id.wholeMatch(of: /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/) != nil)

      let read = try await send(annals, .get, "/documents/\(id)")
      #expect(read.status == 200)
      #expect(read.json == row)
      let audit = try await send(annals, .get, "/documents/\(id)/audit")
      #expect(audit.json["entries"]?.array?.first?["actor"] == "john.doe@company.com")
      try await eventually("the list has it", on: annals.reactor) {
        let list = try await send(annals, .get, "/documents")
        // 503 until the projection has made the index.
        return list.status == 200 && list.json["documents"]?.array == [row]
      }
    }
  }

  @Test(
    "name the actor in the body only where no header does; without either it is anonymous",
    arguments: [Processes.together, .gateway])
  func actors(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      let bodies = [
        (#"{"title":"A","created_by":"john"}"#, [("X-Actor", "alice")], "alice", "john"),
        (#"{"title":"B","created_by":"john"}"#, [], "john", "john"),
        (#"{"title":"C"}"#, [], "anonymous", "anonymous"),
      ]
      for (body, headers, actor, creator) in bodies {
        let created = try await annals.send(
          .post, "/documents", body, headers: headers.map { (name: $0.0, value: $0.1) })
        #expect(created.json["created_by"]?.string == creator)
        let id = created.json["id"]?.string ?? ""
        let audit = try await send(annals, .get, "/documents/\(id)/audit")
        #expect(audit.json["entries"]?.array?.first?["actor"]?.string == actor)
      }
      let refused = try await send(annals, .post, "/documents", #"{"title":"D","created_by":" "}"#)
      #expect(refused.status == 422)
      #expect(refused.json["field"] == "/created_by")
    }
  }

  @Test(
    "look at a document that is created, pending or signed; sign one that is created, viewed or pending",
    arguments: [Processes.together, .gateway])
  func statuses(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      for path in [
        ["viewed"], ["pending", "viewed"], ["signed", "viewed"], ["viewed", "signed"], ["pending", "signed", "viewed"],
        ["signed", "viewed", "signed"],
      ] {
        let id = try await send(annals, .post, "/documents", #"{"title":"A"}"#).json["id"]?.string ?? ""
        for (index, status) in path.enumerated() {
          let answer = try await send(annals, .patch, "/documents/\(id)", #"{"status":"\#(status)"}"#)
          #expect(answer.status == 200, "\(path), \(status)")
          #expect(answer.json["status"]?.string == status)
          #expect(answer.json["version"] == .integer(Int64(index) + 2))
        }
      }
    }
  }

  @Test(
    "count views: right after five answered reads there are five, of one visitor",
    arguments: [Processes.together, .gateway])
  func views(_ processes: Processes) async throws {
    try await withAnnals([:], processes) { annals in
      let id = try await send(annals, .post, "/documents", #"{"title":"A"}"#).json["id"]?.string ?? ""
      for _ in 0..<5 { #expect(try await send(annals, .get, "/documents/\(id)").status == 200) }
      let stats = try await send(annals, .get, "/documents/\(id)/stats")
      #expect(stats.status == 200)
      #expect(stats.json["document_id"] == .string(id))
      #expect(stats.json["total_views"] == 5 && stats.json["unique_views"] == 1)
      // The counts that other programs read in Redis; an unknown id leaves none there.
      let unknown = UUID.version7().description
      #expect(try await send(annals, .get, "/documents/\(unknown)").status == 404)
      let redis = (annals.environment["ANNALS_REDIS_URL"] ?? "").split(separator: "/")[1].split(separator: ":").map {
        String($0)
      }
      let printed = try await annals.output(
        of: "redis-cli",
        [
          "-h", redis[0], "-p", redis[1], "--raw", "EVAL",
          "return {redis.call('GET', KEYS[1]), tostring(redis.call('PFCOUNT', KEYS[2])), tostring(redis.call('EXISTS', KEYS[3], KEYS[4]))}",
          "4", "analytics:views:\(id)", "analytics:unique_views:\(id)", "analytics:views:\(unknown)",
          "analytics:unique_views:\(unknown)",
        ])
      #expect(printed.split(separator: "\n") == ["5", "1", "0"])
    }
  }
}
