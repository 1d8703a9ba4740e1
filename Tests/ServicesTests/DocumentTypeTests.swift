import HTTPClient
import JSON
import Reactor
import Support
import Testing

private let definition = #"""
  {"title":"Invoice","fields":[{"name":"number","kind":"text","required":true},{"name":"total","kind":"money"},
   {"name":"due","kind":"date"},{"name":"paid","kind":"boolean"},{"name":"pages","kind":"number"},
   {"name":"state","kind":"select","options":["open","closed"]}]}
  """#

@Suite("Types of documents", .workLimit(minutes: 5)) struct DocumentTypeServiceTests {
  @Test("give documents fields, that are checked, found, counted and changed together")
  func fields() async throws {
    try await withAnnals(searching) { annals in
      func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil
      ) async throws -> (status: Int, json: JSONValue) {
        let answer = try await annals.send(method, path, body)
        return (answer.status, answer.json)
      }
      #expect(try await send(.get, "/document-types").json["types"] == [])
      let defined = try await send(.put, "/document-types/invoice", definition)
      #expect(defined.status == 200 && defined.json["type_version"] == 1, "\(defined.json)")
      for wrong in [
        #"{"title":"X","fields":[{"name":"a","kind":"colour"}]}"#,
        #"{"title":"X","fields":[{"name":"a","kind":"text","requird":true}]}"#,
      ] { #expect(try await send(.put, "/document-types/x", wrong).status == 422) }

      var ids: [String] = []
      for (number, amount, currency, due, paid) in [
        ("1", "99.90", "EUR", "2026-10-31", true), ("2", "120.50", "EUR", "2026-12-31", false),
        ("3", "500", "USD", "2026-12-01", false),
      ] {
        let made = try await send(
          .post, "/documents",
          #"{"title":"Bill","type":"invoice","fields":{"number":"\#(number)","total":{"amount":"\#(amount)","currency":"\#(currency)"},"due":"\#(due)","paid":\#(paid)}}"#
        )
        #expect(made.status == 201 && made.json["type"] == "invoice", "\(made.json)")
        #expect(made.json["fields"]?["total"] == ["amount": .string(amount), "currency": .string(currency)])
        ids.append(try #require(made.json["id"]?.string))
      }
      let plain = try #require(try await send(.post, "/documents", #"{"title":"Plain"}"#).json["id"]?.string)
      // What is refused names its place, and nothing of it is done.
      let refused: [(String, String, String)] = [
        (plain, #"{"fields":{"number":"1"}}"#, "/type"), (plain, #"{"type":"letter"}"#, "/type"),
        (plain, #"{"type":"invoice"}"#, "/fields/number"),
        (ids[0], #"{"title":"Other","fields":{"total":"12"}}"#, "/fields/total"),
        (ids[0], #"{"fields":{"numbr":"12"}}"#, "/fields/numbr"), (ids[0], #"{"type":"Invoice"}"#, "/type"),
      ]
      for (id, body, place) in refused {
        let answer = try await send(.patch, "/documents/\(id)", body)
        #expect(answer.status == 422 && answer.json["field"] == .string(place), "\(body) \(answer)")
      }
      let changed = try await send(.patch, "/documents/\(ids[0])", #"{"fields":{"pages":99.90,"due":null}}"#)
      #expect(
        changed.json["fields"]?.object?.members.map(\.name) == ["number", "pages", "paid", "total"].sorted(),
        "\(changed.json)")
      #expect(changed.json["title"] == "Bill")
      let audit = try await send(.get, "/documents/\(ids[0])/audit").json["entries"]?.array?.last
      #expect(
        audit?["changes"]?.array?.map { $0["field"] ?? .null }.contains("fields.pages") == true, "\(audit ?? .null)")

      let count = try await annals.indexed(4)
      #expect(count == 4)
      // The index has each row byte by byte.
      for id in ids {
        let found = try await send(.get, "/search?q=&type=invoice").json["documents"]?.array ?? []
        let row = found.first { $0["id"] == .string(id) }
        let own = try await send(.get, "/documents/\(id)").json
        #expect(row?["fields"]?.bytes == own["fields"]?.bytes && own["fields"] != nil, "\(row ?? .null)")
      }
      let verified = try await annals.output(of: RunningAnnals.binary, ["verify", "document-search"])
      #expect(verified.contains(" 0 differences"), "\(verified)")
      func total(_ query: String) async throws -> JSONValue? {
        let answer = try await send(.get, "/search?type=invoice&where=\(query)")
        #expect(answer.status == 200, "\(query) \(answer)")
        return answer.json["total"]
      }
      for (query, found) in [
        ("total%3E=100", 2), ("total%3E=100%20EUR", 1), ("paid=false;due%3C2026-12-31", 1), ("due", 2), ("!due", 1),
        ("number=%222%22", 1), ("number!=2", 2), ("pages=99.9", 1), ("state", 0),
      ] as [(String, JSONValue)] { #expect(try await total(query) == found, "\(query)") }
      #expect(try await send(.get, "/documents?type=invoice&where=paid=true").json["total"] == 1)
      for wrong in ["totl=1", "total=x", "paid>true", "number=%22", "due=soon", "number~1"] {
        let answer = try await send(.get, "/search?type=invoice&where=\(wrong)")
        #expect(answer.status == 400 && answer.json["field"] == "where", "\(wrong) \(answer)")
      }
      #expect(try await send(.get, "/search?where=a=1").status == 400)

      func counted(_ field: String) async throws -> JSONValue {
        try await send(.get, "/document-types/invoice/fields/\(field)/values").json
      }
      #expect(
        try await counted("paid")["values"] == [["key": false, "count": 2], ["key": true, "count": 1]])
      #expect(try await counted("due")["values"] == [["key": "2026-12-01", "count": 2]])
      let sums = try await counted("total")["sums"]?.array ?? []
      #expect(sums.map { $0["currency"] } == ["EUR", "USD"] && sums.first?["sum"]?.double == 220.4, "\(sums)")

      // A new definition; those of before stay readable.
      let anew = try await send(
        .put, "/document-types/invoice",
        #"{"title":"Invoice","fields":[{"name":"number","kind":"text"},{"name":"note","kind":"text"}]}"#)
      #expect(anew.json["type_version"] == 2)
      #expect(
        try await send(.get, "/document-types/invoice?type_version=1").json["fields"]?.array?.count == 6)
      #expect(
        try await send(.put, "/document-types/invoice", #"{"title":"I","fields":[{"name":"due","kind":"text"}]}"#)
          .status == 409)

      // Many at once, and back.
      let list = (ids + [plain]).map { #""\#($0)""# }.joined(separator: ",")
      let begun = try await send(
        .post, "/batches", #"{"documents":[\#(list)],"type":"invoice","fields":{"note":"checked"}}"#)
      #expect(begun.status == 202, "\(begun.json)")
      let batch = try #require(begun.json["id"]?.string)
      let done = try await annals.finished(batch)
      #expect(done["changed"] == 3 && done["failed"] == 1, "\(done)")
      func row(_ id: String) async throws -> JSONValue {
        let last = try await send(.get, "/documents/\(id)/audit").json["entries"]?.array?.count ?? 0
        return try await send(.get, "/documents/\(id)?as_of=\(last)").json
      }
      let noted = try await row(ids[1])
      #expect(
        noted["fields"]?["note"] == "checked" && noted["fields"]?["due"] == "2026-12-31" && noted["type_version"] == 2)
      let undone = try await send(.post, "/batches/\(batch)/undo", "{}")
      let back = try await annals.finished(try #require(undone.json["id"]?.string))
      #expect(back["changed"] == 3, "\(back)")
      let restored = try await row(ids[1])
      #expect(restored["fields"]?["note"] == nil && restored["type_version"] == 1, "\(restored)")
      #expect(
        try await send(.post, "/batches", #"{"documents":[\#(list)],"type":"invoice","fields":{"due":1}}"#).json[
          "field"]
          == "/fields/due")

      #expect(try await send(.delete, "/documents/\(ids[2])/type").json["type"] == nil)
      #expect(try await send(.delete, "/document-types/invoice").json["retired"] == true)
      #expect(
        try await send(.patch, "/documents/\(plain)", #"{"type":"invoice","fields":{"number":"9"}}"#).status == 409)
      #expect(try await send(.patch, "/documents/\(ids[0])", #"{"fields":{"number":"9"}}"#).status == 200)
    }
  }
}

extension RunningAnnals {
  /// Waits until so many documents are found.
  fileprivate func indexed(_ count: Int64) async throws -> Int64? {
    var found: Int64?
    try await eventually("\(count) documents are indexed", on: reactor) {
      found = try await send(.get, "/search").json["total"]?.integer
      return found == count
    }
    return found
  }
}
