import HTTPClient
import JSON
import Reactor
import Support
import Testing

extension RunningAnnals {
  /// Waits until a batch has ended.
  func finished(_ batch: String) async throws -> JSONValue {
    var found = JSONValue.null
    try await eventually("batch \(batch) is finished", on: reactor) {
      found = try await send(.get, "/batches/\(batch)").json
      return found["status"] == "finished"
    }
    return found
  }
}

@Suite("Batches", .workLimit(minutes: 5)) struct BatchServiceTests {
  @Test("change many documents, name what failed, and are taken back but for what was changed since")
  func batches() async throws {
    try await withAnnals { annals in
      let ids = try await withThrowingTaskGroup(of: [String].self) { group in
        for part in 0..<10 {
          group.addTask {
            var ids: [String] = []
            for number in 0..<25 {
              let made = try await annals.send(.post, "/documents", #"{"title":"\#(part) \#(number)"}"#)
              ids.append(try #require(made.json["id"]?.string))
            }
            return ids
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(try await annals.send(.patch, "/documents/\(ids[0])", #"{"tags":["old","kept"]}"#).status == 200)
      #expect(try await annals.send(.patch, "/documents/\(ids[1])", #"{"status":"archived"}"#).status == 200)
      #expect(try await annals.send(.delete, "/documents/\(ids[2])").status == 204)
      let list = ids.map { #""\#($0)""# }.joined(separator: ",")
      let body = #"{"documents":[\#(list)],"status":"pending","add_tags":["new"],"remove_tags":["old"]}"#
      let key = [("X-Actor", "alice"), ("Idempotency-Key", "batch-1")]
      let begun = try await annals.send(.post, "/batches", body, headers: key)
      #expect(begun.status == 202 && begun.json["documents"] == 250, "\(begun.json)")
      #expect(try await annals.send(.post, "/batches", body, headers: key).json == begun.json)
      let id = try #require(begun.json["id"]?.string)
      let done = try await annals.finished(id)
      #expect(done["done"] == 250 && done["changed"] == 248 && done["failed"] == 2, "\(done)")
      let failures = done["failures"]?.array ?? []
      #expect(failures.map { $0["document_id"]?.string } == [ids[1], ids[2]])
      #expect(failures.last?["problem"] == "the document is deleted")
      let first = try await annals.send(.get, "/documents/\(ids[0])?as_of=4").json
      #expect(first["status"] == "pending" && first["tags"] == ["kept", "new"], "\(first)")
      let audit = try await annals.send(.get, "/documents/\(ids[5])/audit").json["entries"]?.array ?? []
      #expect(audit.last?["actor"] == "alice")
      // One is changed since, the others get back what they had.
      #expect(try await annals.send(.patch, "/documents/\(ids[5])", #"{"title":"changed"}"#).status == 200)
      let undone = try await annals.send(.post, "/batches/\(id)/undo", "{}")
      #expect(undone.status == 202 && undone.json["undoes"] == .string(id), "\(undone.json)")
      let back = try await annals.finished(try #require(undone.json["id"]?.string))
      #expect(back["changed"] == 247 && back["failed"] == 1, "\(back)")
      #expect(back["failures"]?.array?.first?["document_id"] == .string(ids[5]))
      for (number, tags) in [(0, ["kept", "old"] as JSONValue?), (7, nil)] {
        let history = try await annals.send(.get, "/documents/\(ids[number])/audit").json["entries"]?.array?.count ?? 0
        let now = try await annals.send(.get, "/documents/\(ids[number])?as_of=\(history)").json
        #expect(now["status"] == "created" && now["tags"] == tags, "\(now)")
      }
      #expect(try await annals.send(.post, "/batches/\(id)/undo", "{}").status == 409)
      for wrong in [#"{"documents":[]}"#, #"{"documents":["x"],"status":"pending"}"#, #"{"documents":["\#(ids[0])"]}"#]
      {
        #expect(try await annals.send(.post, "/batches", wrong).status == 422, "\(wrong)")
      }
      // Of others: their documents cannot be changed, and their batches are not there.
      let token = try await annals.send(.get, "/auth/token?user_id=jane&email=jane@x.org").json["access_token"]?.string
      let jane = [("Authorization", "Bearer \(token ?? "")")]
      let foreign = try await annals.send(.post, "/batches", body, headers: jane)
      #expect(foreign.status == 404 && foreign.json["field"] == "/documents", "\(foreign.json)")
      #expect(try await annals.send(.get, "/batches/\(id)", headers: jane).status == 404)
      #expect(try await annals.send(.post, "/batches/\(id)/undo", "{}", headers: jane).status == 404)
    }
  }
}
