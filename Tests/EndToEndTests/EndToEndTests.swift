import Glibc
import Files
import HTTPClient
import JSON
import Metrics
import Postgres
import Reactor
import Support
import Testing

/// A hit without what the search adds to the row.
private func row(of hit: JSONValue?) -> JSONValue? {
  guard case .object(var row) = hit else { return nil }
  row.members.removeAll { $0.name == "score" || $0.name == "highlights" }
  return .object(row)
}

@Suite("A document's way round", .workLimit(minutes: 5)) struct EndToEndTests {
  @Test("REST → log → topic → views → search, cached read, audit")
  func wayRound() async throws {
    try await withAnnals(["ANNALS_PROJECTION_VIEWS": ""]) { annals in
      let created = try await annals.send(
        .post, "/v1/documents", #"{"title":"Lease agreement","content":"The tenant pays the rent monthly."}"#)
      #expect(created.status == 201)
      let id = created.json["id"]?.string ?? ""
      #expect(created.response.header("location") == "/v1/documents/\(id)")
      let amended = try await annals.send(
        .patch, "/documents/\(id)", #"{"status":"pending"}"#, headers: [("X-Actor", "bob"), ("If-Match", "\"1\"")])
      #expect(amended.status == 200)
      #expect(amended.json["version"] == 2)

      try await eventually("search finds it", on: annals.reactor) {
        let found = try await annals.send(.get, "/search?q=tenant&status=pending")
        return row(of: found.json["documents"]?.array?.first) == amended.json
      }
      let found = try await annals.send(.get, "/search?q=tenant")
      #expect(
        found.json["documents"]?.array?.first?["highlights"]?["content"]?.array?.first?.string?.contains(
          "<em>tenant</em>")
          == true)
      #expect(found.json["took_ms"]?.integer != nil)
      try await eventually("the cache has it", on: annals.reactor) {
        try await annals.send(.get, "/documents/\(id)").response.header("x-annals-source") == "cache"
      }
      #expect(try await annals.send(.get, "/documents/\(id)").json == amended.json)
      #expect(
        try await annals.send(.get, "/documents/\(id)/content").response.body
          == Array("The tenant pays the rent monthly.".utf8))
      let counts = try await annals.send(.get, "/aggregations/status").json["values"]
      #expect(counts == [["key": "pending", "count": 1]])
      let list = try await annals.send(.get, "/documents?status=pending&limit=1").json
      #expect(list["documents"]?.array == [amended.json])
      let next = list["next_cursor"]?.string ?? ""
      #expect(try await annals.send(.get, "/documents?limit=1&cursor=\(next)").json["documents"]?.array == [])
      let stats = try await annals.send(.get, "/documents/\(id)/stats").json
      #expect(stats["total_views"]?.integer ?? 0 >= 2)
      #expect(stats["unique_views"] == 1)

      let audit = try await annals.send(.get, "/documents/\(id)/audit").json["entries"]?.array ?? []
      #expect(audit.map { $0["type"]?.string } == ["DocumentCreated", "DocumentStatusChanged"])
      #expect(audit.map { $0["actor"]?.string } == ["alice", "bob"])
      #expect(audit.last?["changes"] == [["field": "status", "before": "created", "after": "pending"]])
      #expect(try await annals.send(.get, "/documents/\(id)?as_of=1").json == created.json)

      // Left to itself, kcat gives a broker five seconds to tell of its topics: `-m`.
      let printed = try await annals.output(
        of: "kcat",
        [
          "-b", try Stack.kafka, "-m", "60", "-C", "-t", annals.topic, "-o", "beginning", "-c", "2", "-f",
          "%k|%h|%s\\n",
        ])
      let lines = printed.split(separator: "\n").filter { $0.hasPrefix("{") }
      #expect(lines.count == 2, "\(printed)")
      #expect(lines.first?.hasPrefix("{\"id\":\"\(id)\"}|event_id=") == true)
      #expect(
        lines.last?.contains("event_type=DocumentStatusChanged,stream_version=2,log_epoch=1,recorded_at_us=") == true)
      #expect(
        lines.last?.contains(
          "actor=bob|{\"before\":\(created.json),\"after\":\(amended.json),"
        )
          == true)

      #expect(try await annals.send(.delete, "/documents/\(id)").status == 204)
      #expect(try await annals.send(.get, "/documents/\(id)?as_of=2").json == amended.json)
      try await eventually("it is gone from search", on: annals.reactor) {
        try await annals.send(.get, "/search?q=tenant").json["total"] == 0
      }
      try await eventually("it is gone for readers", on: annals.reactor) {
        try await annals.send(.get, "/documents/\(id)").status == 410
      }
      for _ in 0..<3 {
        let ready = try await annals.send(.get, "/readyz?verbose")
        #expect(ready.status == 200)
        let names = (ready.json["ok"]?.array ?? []).compactMap { $0["name"]?.string }
        #expect(
          Set(names).isSuperset(of: [
            "Postgres", "Schema", "Redis", "Object store", "Elasticsearch", "Kafka", "relay", "document-search",
          ]), "\(ready.json)")
      }
      let doctor = try await annals.output(of: RunningAnnals.binary, ["doctor"])
      #expect(doctor.contains("ok       Schema: up to date"), "\(doctor)")
      try await eventually("views are equal to history", on: annals.reactor) {
        try await annals.output(of: RunningAnnals.binary, ["verify"]).contains("1 streams, 3 events, 0 differences")
      }
    }
  }

  @Test("A search is walked through to its end as it was when it began, while documents change")
  func walk() async throws {
    try await withAnnals(searching) { annals in
      var ids: Set<String> = []
      for number in 0..<25 {
        let made = try await annals.send(.post, "/documents", #"{"title":"Lease \#(number)"}"#)
        ids.insert(try #require(made.json["id"]?.string))
      }
      func page(_ cursor: String, _ more: String = "&sort=title") async throws -> (status: Int, json: JSONValue) {
        let answer = try await annals.send(.get, "/search?q=lease&size=10\(more)&cursor=\(cursor)")
        return (answer.status, answer.json)
      }
      try await eventually("all are found", on: annals.reactor) {
        try await annals.send(.get, "/search?q=lease").json["total"] == 25
      }
      for more in ["&sort=title", "", "&sort=-updated_at"] {
        var (seen, pages, cursor): ([String], Int, String?) = ([], 0, "")
        while let place = cursor {
          let (status, json) = try await page(place, more)
          #expect(status == 200 && json["total"] == 25, "\(json)")
          seen += (json["documents"]?.array ?? []).compactMap { $0["id"]?.string }
          pages += 1
          cursor = json["next_cursor"]?.string
          // What comes and changes meanwhile is not part of it.
          _ = try await annals.send(.patch, "/documents/\(seen.last ?? "")", #"{"title":"A lease \#(pages)"}"#)
          _ = try await annals.send(.post, "/documents", #"{"title":"tenancy"}"#)
        }
        #expect(pages == 3 && seen.count == 25 && Set(seen) == ids, "\(more)")
      }
      let next = try #require(try await page("").json["next_cursor"]?.string)
      for cursor in ["x", "\(next)x", "x.y", String(next.reversed())] {
        let (status, json) = try await page(cursor)
        #expect(status == 400 && json["field"] == "cursor", "\(json)")
      }
      #expect(try await page(next + "&from=10").status == 400)
      #expect(try await annals.send(.get, "/search?q=lease").json["next_cursor"] == nil)
    }
  }

  @Test("Search: phrases, exclusions and prefixes, fields, times, orders, suggestions, similar documents")
  func search() async throws {
    try await withAnnals(searching) { annals in
      var ids: [String] = []
      for (title, content) in [
        ("Annual report", "The report of the year in numbers"),
        ("Report, annual and draft", "numbers and more numbers"),
        ("Contract of sale", "the annual report is attached"), ("Contractor list", "names"),
      ] {
        let made = try await annals.send(.post, "/documents", #"{"title":"\#(title)","content":"\#(content)"}"#)
        ids.append(made.json["id"]?.string ?? "")
      }
      func found(_ query: String) async throws -> [Int] {
        let answer = try await annals.send(.get, "/search?\(query)").json
        return (answer["documents"]?.array ?? []).compactMap { hit in ids.firstIndex { .string($0) == hit["id"] } }
      }
      try await eventually("all are found", on: annals.reactor) { try await found("").count == 4 }
      #expect(try await Set(found("q=annual")) == [0, 1, 2])
      #expect(try await Set(found("q=%22annual+report%22")) == [0, 2])
      #expect(try await Set(found("q=%22annual+report%22&fields=title")) == [0])
      #expect(try await Set(found("q=%2Bannual+-draft")) == [0, 2])
      #expect(try await Set(found("q=contr*&fields=title")) == [2, 3])
      #expect(try await found("sort=created_at") == [0, 1, 2, 3])
      #expect(try await found("sort=-created_at") == [3, 2, 1, 0])
      #expect(try await found("sort=title") == [0, 2, 3, 1])
      let third = try await annals.send(.get, "/documents/\(ids[2])").json["created_at"]?.string ?? ""
      #expect(try await Set(found("created_from=\(third)")) == [2, 3])
      #expect(try await Set(found("created_before=\(third)")) == [0, 1])
      let suggested = try await annals.send(.get, "/suggestions?q=annual+rep").json["suggestions"]?.array ?? []
      #expect(suggested.map { $0["title"]?.string } == ["Annual report"])
      let similar = try await annals.send(.get, "/documents/\(ids[0])/similar").json["documents"]?.array ?? []
      #expect(Set(similar.compactMap { $0["id"]?.string }).isSubset(of: Set(ids[1...])) && !similar.isEmpty)
      for (query, place) in [("q=%22annual", "character 1"), ("q=a+(b", "character 3"), ("q=b)", "character 2")] {
        let refused = try await annals.send(.get, "/search?\(query)")
        #expect(refused.status == 400 && refused.json["field"] == "q")
        #expect(refused.json["detail"]?.string?.contains(place) == true, "\(refused.json)")
      }
      for query in ["fields=colour", "sort=colour", "created_from=yesterday"] {
        #expect(try await annals.send(.get, "/search?\(query)").status == 400)
      }
    }
  }

  @Test("Tags: set, found, counted, in the audit, and taken away")
  func tags() async throws {
    try await withAnnals(searching) { annals in
      let id = try await annals.send(.post, "/documents", #"{"title":"Lease"}"#).json["id"]?.string ?? ""
      _ = try await annals.send(.post, "/documents", #"{"title":"Other"}"#)
      func tag(_ tags: String) async throws -> (status: Int, json: JSONValue, response: HTTPResponse) {
        try await annals.send(.patch, "/documents/\(id)", #"{"tags":\#(tags)}"#)
      }
      let tagged = try await tag(#"["rent","2026","rent"]"#)
      #expect(tagged.json["tags"] == ["2026", "rent"] && tagged.json["version"] == 2)
      // The same set in another order changes nothing.
      #expect(try await tag(#"["rent","2026"]"#).json["version"] == 2)
      for malformed in [#"[" "]"#, #"["\u0001"]"#, "[\"\(String(repeating: "x", count: 65))\"]", #""rent""#, "[1]"] {
        #expect(try await tag(malformed).status == 422, "\(malformed)")
      }
      try await eventually("it is found by its tag", on: annals.reactor) {
        try await annals.send(.get, "/search?tag=rent").json["documents"]?.array?.first?["tags"] == ["2026", "rent"]
      }
      #expect(try await annals.send(.get, "/documents?tag=2026").json["total"] == 1)
      #expect(
        try await annals.send(.get, "/aggregations/tags").json["values"] == [
          ["key": "2026", "count": 1], ["key": "rent", "count": 1],
        ])
      #expect(try await tag("[]").json["tags"] == nil)
      let audit = try await annals.send(.get, "/documents/\(id)/audit").json["entries"]?.array ?? []
      #expect(audit.map { $0["type"] } == ["DocumentCreated", "DocumentTagged", "DocumentTagged"])
      #expect(audit[1]["changes"] == [["field": "tags", "before": nil, "after": ["2026", "rent"]]])
      try await eventually("views are equal to history", on: annals.reactor) {
        try await annals.output(of: RunningAnnals.binary, ["verify"]).contains("0 differences")
      }
    }
  }

  @Test("Versions: labels, what differs, and an older content as a new version")
  func versions() async throws {
    try await withAnnals { annals in
      let id =
        try await annals.send(.post, "/documents", #"{"title":"Lease","content":"one\ntwo\nthree"}"#).json["id"]?.string
        ?? ""
      let replaced = try await annals.send(
        .put, "/documents/\(id)/content", "one\n2\nthree\nfour", contentType: "text/plain")
      #expect(replaced.json["version"] == 2)
      #expect(try await annals.send(.patch, "/documents/\(id)", #"{"title":"Lease, amended"}"#).status == 200)
      let compared = try await annals.send(.get, "/documents/\(id)/compare?from=1").json
      #expect(compared["to"] == 3 && compared["content_changed"] == .bool(true))
      #expect(
        compared["changes"]?.array?.contains(["field": "title", "before": "Lease", "after": "Lease, amended"]) == true)
      #expect(
        compared["lines"] == [
          ["change": "removed", "line": 2, "text": "two"], ["change": "added", "line": 2, "text": "2"],
          ["change": "added", "line": 4, "text": "four"],
        ])
      let label = try await annals.send(.put, "/documents/\(id)/versions/1/label", #"{"label":"as sent"}"#)
      #expect(label.json["versions"] == [["version": 1, "label": "as sent"]])
      let restored = try await annals.send(.post, "/documents/\(id)/restore", #"{"version":1}"#)
      #expect(restored.status == 200 && restored.json["title"] == "Lease, amended" && restored.json["version"] == 5)
      #expect(try await annals.send(.get, "/documents/\(id)/content").response.body == Array("one\ntwo\nthree".utf8))
      #expect(
        try await annals.send(.get, "/documents/\(id)/compare?from=1&to=5").json["content_changed"] == .bool(false))
      let bare = try await annals.send(.post, "/documents", #"{"title":"Bare"}"#).json["id"]?.string ?? ""
      for (method, path, body, status) in [
        (.put, "/documents/\(id)/versions/9/label", #"{"label":"x"}"#, 404),
        (.put, "/documents/\(id)/versions/1/label", #"{"label":" "}"#, 422),
        (.post, "/documents/\(id)/restore", #"{"version":99}"#, 404),
        (.post, "/documents/\(bare)/restore", #"{"version":1}"#, 409),
        (.get, "/documents/\(id)/compare", nil, 400), (.get, "/documents/\(id)/compare?from=0", nil, 404),
      ] as [(HTTPRequest.Method, String, String?, Int)] {
        #expect(try await annals.send(method, path, body).status == status, "\(method) \(path)")
      }
      #expect(try await annals.send(.delete, "/documents/\(id)/versions/1/label").json["versions"] == [])
      let audit = try await annals.send(.get, "/documents/\(id)/audit").json["entries"]?.array ?? []
      #expect(audit.last?["changes"] == [["field": "versions/1/label", "before": "as sent", "after": nil]])
      try await eventually("the cache has it", on: annals.reactor) {
        try await annals.send(.get, "/documents/\(id)").response.header("x-annals-source") == "cache"
      }
      let verified = try await annals.output(of: RunningAnnals.binary, ["verify"])
      #expect(verified.contains("0 differences"), "\(verified)")
    }
  }

  @Test("Bad input gets a problem that names the field and the remedy, and nothing is written")
  func badInput() async throws {
    try await withAnnals(searching) { annals in
      let id = try await annals.send(.post, "/documents", #"{"title":"One"}"#).json["id"]?.string ?? ""
      let none = "01890a5d-ac96-774b-bcce-b302099a8057"
      let cases: [(HTTPRequest.Method, String, String?, Int, String?)] = [
        (.post, "/documents", #"{"title":7}"#, 422, "/title"),
        (.post, "/documents", #"{"titel":"x"}"#, 422, "/titel"),
        (.post, "/documents", "{}", 422, "/title"),
        (.post, "/documents", #"{"title":"x","colour":"red"}"#, 422, "/colour"),
        (.post, "/documents", #"{"title":""}"#, 422, "/title"),
        (.post, "/documents", #"{"title":"x","title":"y"}"#, 400, "/title"),
        (.post, "/documents", #"{"title":"x","content":"a","content_type":"nonsense"}"#, 422, "/content_type"),
        (.post, "/documents", "{", 400, nil),
        (.get, "/documents/none", nil, 400, "id"),
        (.get, "/documents/\(none)", nil, 404, nil),
        (.patch, "/documents/\(none)", #"{"title":"x"}"#, 404, nil),
        (.patch, "/documents/\(id)", #"{"status":"lost"}"#, 422, "/status"),
        (.patch, "/documents/\(id)", #"{"status":"rejected"}"#, 409, "/status"),
        (.patch, "/documents/\(id)", "{}", 422, nil),
        (.get, "/documents/\(id)?as_of=yesterday", nil, 400, "as_of"),
        (.get, "/documents?cursor=zz", nil, 400, "cursor"),
        (.get, "/documents?limit=0", nil, 400, "limit"),
        (.get, "/documents?status=lost", nil, 400, "status"),
        (.get, "/documents?stauts=created", nil, 400, "stauts"),
        (.get, "/aggregations/colour", nil, 400, "field"),
        (.get, "/documents/\(id)/content", nil, 404, nil),
      ]
      for (method, path, body, status, field) in cases {
        let answer = try await annals.send(method, path, body)
        #expect(answer.status == status, "\(method) \(path) \(body ?? "")")
        #expect(answer.response.header("content-type") == "application/problem+json")
        #expect(answer.json["field"]?.string == field, "\(method) \(path) \(body ?? "")")
        #expect(answer.json["detail"]?.string?.isEmpty == false)
      }
      for type in ["foo", "text/", String(repeating: "x", count: 300) + "/y"] {
        let form =
          "--b0undary\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nForm\r\n--b0undary\r\n"
          + "Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: \(type)\r\n\r\nabc\r\n"
          + "--b0undary--\r\n"
        let refused = try await annals.client.send(
          HTTPRequest(
            .post, annals.url + "/documents",
            headers: [("Content-Type", "multipart/form-data; boundary=b0undary")], body: Array(form.utf8)))
        #expect(refused.status == 422, "\(type.prefix(20))")
      }
      let stale = try await annals.send(
        .patch, "/documents/\(id)", #"{"title":"x"}"#, headers: [("If-Match", "\"7\"")])
      #expect(stale.status == 412)
      #expect(stale.response.header("etag") == "\"1\"")
      let audit = try await annals.send(.get, "/documents/\(id)/audit").json["entries"]?.array
      #expect(audit?.count == 1)
    }
  }

  @Test("Without Redis, Elasticsearch and Kafka documents are written and read; what is missing is named")
  func degraded() async throws {
    let nobody = "127.0.0.1:1"
    try await withAnnals([
      "ANNALS_REDIS_URL": "redis://\(nobody)", "ANNALS_ELASTICSEARCH_URL": "http://\(nobody)",
      "ANNALS_KAFKA_BROKERS": nobody,
    ]) { annals in
      let created = try await annals.send(.post, "/documents", #"{"title":"Lease","content":"text"}"#)
      #expect(created.status == 201)
      let id = created.json["id"]?.string ?? ""
      let read = try await annals.send(.get, "/documents/\(id)")
      #expect(read.status == 200)
      #expect(read.json == created.json)
      #expect(read.response.header("x-annals-source") == "log")
      #expect(try await annals.send(.patch, "/documents/\(id)", #"{"status":"viewed"}"#).status == 200)
      #expect(try await annals.send(.get, "/documents/\(id)/audit").json["entries"]?.array?.count == 2)
      for (path, name) in [
        ("/search?q=x", "Elasticsearch"), ("/documents", "Elasticsearch"), ("/documents/\(id)/stats", "Redis"),
      ] {
        let answer = try await annals.send(.get, path)
        #expect(answer.status == 503)
        #expect(answer.json["detail"]?.string?.hasPrefix("\(name) does not answer") == true)
        #expect(answer.response.header("retry-after") != nil)
      }
    }
  }

  @Test("the example of docs/event-store.md runs on a database of its own")
  func example() async throws {
    try await withDatabase(migrated: false) { database in
      let folder = RunningAnnals.binary.split(separator: "/").dropLast().map { "/\($0)" }.joined()
      mkdir(".stack/test/logs", 0o755)
      let log = ".stack/test/logs/\(Stack.uniqueName("example")).log"
      let output = open(log, O_CREAT | O_WRONLY, 0o644)
      var environment = ["ANNALS_POSTGRES_URL": database.options.url]
      for name in ["PATH", "LD_LIBRARY_PATH"] { environment[name] = getenv(name).map { String(cString: $0) } }
      let child = try await ChildProcess.start(
        folder + "/example-account", environment: environment, output: output, on: database.reactor)
      close(output)
      #expect(await child.wait() == .exited(status: 0))
      let text = String(try File.text(log, limit: 1 << 20))
      for line in [
        "refused: the account has only 10000 cents", "Ada has 7500, Grace 2500", "Ada had 10000", "log index 4", "done",
      ] {
        #expect(text.contains(line), "\(text)")
      }
    }
  }

  @Test("Without the object store what needs content is refused by its name, and nothing else")
  func noObjectStore() async throws {
    try await withAnnals(["ANNALS_S3_ENDPOINT": "http://127.0.0.1:1"]) { annals in
      let refused = try await annals.send(.post, "/documents", #"{"title":"Lease","content":"text"}"#)
      #expect(refused.status == 503)
      #expect(refused.json["detail"]?.string?.hasPrefix("The object store does not answer") == true)
      #expect(try await annals.send(.post, "/documents", #"{"title":"Lease"}"#).status == 201)
    }
  }

  @Test("Elasticsearch, Redis and the object store go away and come back: named while away, caught up afterwards")
  func comesBack() async throws {
    try await withReactor { reactor in
      let redis = try await RedisServer.start(on: reactor)
      let result: Result<Void, any Error>
      do { result = .success(try await comesBack(redis)) } catch { result = .failure(error) }
      await redis.stop()
      try result.get()
    }
  }

  private func comesBack(_ redis: RedisServer) async throws {
    let search = try Gate(to: try Stack.elasticsearch, isOpen: true)
    let cache = try Gate(to: redis.url, isOpen: true)
    let store = try Gate(to: try Stack.s3, isOpen: true)
    try await withAnnals([
      "ANNALS_PROJECTION_VIEWS": "document-cache,document-search",
      "ANNALS_ELASTICSEARCH_URL": "http://127.0.0.1:\(search.port)",
      "ANNALS_REDIS_URL": "redis://127.0.0.1:\(cache.port)",
      "ANNALS_S3_ENDPOINT": "http://127.0.0.1:\(store.port)",
    ]) { annals in
      func isFound(_ title: String) async throws -> Bool {
        try await annals.send(.get, "/search?q=\(title)").json["total"] == 1
      }
      let first = try await annals.send(.post, "/documents", #"{"title":"Before","content":"text"}"#)
      #expect(first.status == 201)
      try await eventually("search finds the first", on: annals.reactor) { try await isFound("Before") }

      for gate in [search, cache, store] { gate.shut() }
      let second = try await annals.send(.post, "/documents", #"{"title":"Meanwhile"}"#)
      #expect(second.status == 201)
      let id = second.json["id"]?.string ?? ""
      #expect(try await annals.send(.get, "/documents/\(id)").response.header("x-annals-source") == "log")
      for (method, path, name) in [
        (HTTPRequest.Method.get, "/search?q=x", "Elasticsearch"), (.get, "/documents/\(id)/stats", "Redis"),
        (.put, "/documents/\(id)/content", "The object store"),
      ] {
        let answer = try await annals.send(method, path, method == .put ? "{}" : nil)
        #expect(answer.status == 503)
        #expect(answer.json["detail"]?.string?.hasPrefix("\(name) does not answer") == true)
      }

      for gate in [search, cache, store] { try gate.open() }
      try await eventually("search finds what came meanwhile", on: annals.reactor) { try await isFound("Meanwhile") }
      try await eventually("the cache has it", on: annals.reactor) {
        try await annals.send(.get, "/documents/\(id)").response.header("x-annals-source") == "cache"
      }
      #expect(try await annals.send(.put, "/documents/\(id)/content", "{}").status == 200)
      try await eventually("the views are whole", on: annals.reactor) {
        try await annals.output(of: RunningAnnals.binary, ["verify"]).contains("2 streams, 3 events, 0 differences")
      }
    }
    for gate in [search, cache, store] { gate.shut() }
  }

  @Test("Loading takes the files of a name, and no more than asked for")
  func loading() async throws {
    try await withAnnals(searching) { annals in
      let folder = ".stack/test/logs/\(Stack.uniqueName("load"))"
      mkdir(folder, 0o755)
      for number in 1...7 {
        mkdir("\(folder)/\(number)", 0o755)
        for name in ["copyright", "readme"] {
          let file = fopen("\(folder)/\(number)/\(name)", "w")
          fputs("Text \(number) of \(name).\n", file)
          fclose(file)
        }
      }
      let some = try await annals.output(
        of: RunningAnnals.binary, ["load", folder, "--name", "copyright", "--limit", "3", "--url", annals.url])
      #expect(some.contains("loaded 3 documents, 63 bytes"), "\(some)")
      let all = try await annals.output(of: RunningAnnals.binary, ["load", folder, "--url", annals.url])
      #expect(all.contains("loaded 14 documents"), "\(all)")
      try await eventually("they are listed", on: annals.reactor) {
        try await annals.send(.get, "/documents").json["total"] == 17
      }
      let titles = try await annals.send(.get, "/documents?limit=100").json["documents"]?.array?.map { $0["title"] }
      #expect(titles?.count { $0 == "1/copyright" } == 2)
      #expect(titles?.count { $0 == "4/copyright" } == 1)
    }
  }

  @Test("One feature alone still says when Postgres is away, and keeps the outbox")
  func alone() async throws {
    let gate = try Gate(to: try postgresAddress(), isOpen: true)
    try await withAnnals(searching) { annals in
      let port = Stack.uniquePort()
      var environment = annals.environment
      let url = try #require(environment["ANNALS_POSTGRES_URL"])
      environment["ANNALS_POSTGRES_URL"] = url.replacing(try postgresAddress(), with: "127.0.0.1:\(gate.port)")
      environment["ANNALS_OPERATIONS_PORT"] = "\(Stack.uniquePort())"
      let child = try await ChildProcess.start(
        RunningAnnals.binary, ["serve", "search", "--port", "\(port)"], environment: environment, output: STDERR_FILENO,
        on: annals.reactor)
      func ready() async -> Int {
        do {
          return try await annals.client.send(HTTPRequest(.get, "http://127.0.0.1:\(port)/readyz")).status
        } catch { return 0 }
      }
      try await eventually("it is ready", on: annals.reactor) { await ready() == 200 }
      gate.shut()
      try await eventually("it says that it is not", on: annals.reactor) { await ready() == 503 }
      await child.signal(SIGTERM)
      #expect(await child.wait() == .exited(status: 0))
    }
  }

  /// `host:port` of the stack's Postgres.
  private func postgresAddress() throws -> String {
    let url = try Stack.postgres
    let host = url.split(separator: "@").last?.split(separator: "/").first
    return String(host ?? "")
  }
}
