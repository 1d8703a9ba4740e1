import JWT
import Postgres
import Configuration
import Domain
import HTTPClient
import HTTPServer
import JSON
import Lifecycle
import Reactor
import Services
import Support
import Testing

@testable import annals

private let secret = "a-secret-of-these-tests-0123456789"
private let tokens = [
  "ANNALS_AUTH_MODE": "tokens", "ANNALS_AUTH_SECRET": secret, "ANNALS_PROJECTION_VIEWS": "document-cache",
  "ANNALS_WEBHOOKS_SECRET": secret, "ANNALS_WEBHOOKS_ALLOW_PRIVATE": "true",
]

/// Somebody with a token.
private struct Person {
  let name: String
  let headers: [(name: String, value: String)]
  var email: String { "\(name)@example.com" }

  /// - Parameter claims: Of a token that has neither address nor roles.
  init(_ name: String, claims: [JSONObject.Member]) {
    self.name = name
    let all: [JSONObject.Member] = [
      .init(name: "iss", value: "annals"), .init(name: "aud", value: "annals"),
      .init(name: "sub", value: .string(name)),
      .init(name: "exp", value: 4_102_444_800),
    ]
    headers = [
      ("Authorization", "Bearer " + WebToken.sign(.object(JSONObject(all + claims)), secret: Array(secret.utf8)))
    ]
  }

  init(_ name: String, _ roles: [Role], groups: [String] = []) throws {
    let settings = try Configuration(IdentitySettings.all, environment: ["ANNALS_AUTH_SECRET": secret])
    self.name = name
    headers = [
      (
        "Authorization",
        "Bearer "
          + DevelopmentTokens(settings: settings).token(
            subject: name, email: "\(name)@example.com", roles: roles, groups: groups)
      )
    ]
  }
}

extension RunningAnnals {
  fileprivate func send(
    _ person: Person, _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil
  ) async throws -> (status: Int, json: JSONValue, response: HTTPResponse) {
    try await send(method, path, body, headers: person.headers)
  }
}

@Suite("Rights", .workLimit(minutes: 5)) struct RightsTests {
  /// A request to each route that does what the route is for. A route without one fails the test.
  private struct Sample {
    let target: String
    let body: String?
    init(_ target: String, _ body: String? = nil) { (self.target, self.body) = (target, body) }
  }

  /// Nobody listens there.
  private static let webhook = #"{"url":"http://127.0.0.1:1/","selection":{"tag":"none"}}"#

  private func sample(_ route: Route, _ document: String, _ caller: Person, isSelf: Bool) -> Sample? {
    let path = route.path.replacing("{id}", with: document)
    return switch "\(route.method.rawValue) \(route.path)" {
    case "POST /documents": Sample(path, #"{"title":"New"}"#)
    case "PATCH /documents/{id}": Sample(path, #"{"title":"Changed"}"#)
    case "PUT /documents/{id}/content": Sample(path, "other")
    case "PUT /documents/{id}/shares/{with}":
      Sample(path.replacing("{with}", with: "user:new"), #"{"rights":["view"]}"#)
    case "DELETE /documents/{id}/shares/{with}": Sample(path.replacing("{with}", with: "user:other"))
    case "POST /signatures":
      Sample(
        path,
        #"{"document_id":"\#(document)","signer_email":"\#(caller.email)","signer_name":"N","signature_data":"aGk="}"#)
    case "GET /signers/{email}/documents":
      Sample(path.replacing("{email}", with: isSelf ? caller.email : "other@example.com"))
    case "GET /aggregations/{field}": Sample(path.replacing("{field}", with: "status"))
    case "GET /lists/status/{status}": Sample(path.replacing("{status}", with: "created"))
    case "GET /lists/creator/{creator}": Sample(path.replacing("{creator}", with: "other"))
    case "GET /document-types", "GET /saved-searches", "GET /saved-searches/events", "GET /ws/searches": Sample(path)
    case "POST /saved-searches": Sample(path, #"{"name":"S","query":{"q":"x"}}"#)
    case "GET /saved-searches/{search}/hits", "DELETE /saved-searches/{search}": Sample(path)
    case "GET /webhooks", "GET /webhooks/{webhook}", "DELETE /webhooks/{webhook}", "GET /webhooks/{webhook}/keys",
      "GET /webhooks/{webhook}/attempts", "GET /webhooks/{webhook}/parked", "POST /webhooks/{webhook}/test":
      Sample(path)
    case "POST /webhooks": Sample(path, Self.webhook)
    case "PATCH /webhooks/{webhook}", "POST /webhooks/{webhook}/keys": Sample(path, "{}")
    case "POST /webhooks/{webhook}/replay": Sample(path, #"{"from_index":0}"#)
    case "POST /webhooks/{webhook}/parked/{document}/{request}":
      Sample(path.replacing("{document}", with: document).replacing("{request}", with: "retry"))
    case "GET /document-types/{type}", "DELETE /document-types/{type}":
      Sample(path.replacing("{type}", with: "letter"))
    case "PUT /document-types/{type}":
      Sample(path.replacing("{type}", with: "letter"), #"{"title":"Letter","fields":[{"name":"topic","kind":"text"}]}"#)
    case "GET /document-types/{type}/fields/{field}/values":
      Sample(path.replacing("{type}", with: "letter").replacing("{field}", with: "topic"))
    case "DELETE /documents/{id}/type": Sample(path)
    case "POST /admin/rebuilds": Sample(path, #"{"view":"none"}"#)
    case "GET /documents/{id}/events", "GET /events": Sample(path)
    case "GET /events/{event}/where": Sample(path.replacing("{event}", with: document))
    case "GET /ws/{id}": Sample(path)
    case "GET /documents/{id}/versions": Sample(path)
    case "GET /documents/{id}/compare": Sample(path + "?from=1&to=1")
    case "PUT /documents/{id}/versions/{version}/label":
      Sample(path.replacing("{version}", with: "1"), #"{"label":"first"}"#)
    case "DELETE /documents/{id}/versions/{version}/label": Sample(path.replacing("{version}", with: "1"))
    case "POST /documents/{id}/restore": Sample(path, #"{"version":1}"#)
    case "POST /batches": Sample(path, #"{"documents":["\#(document)"],"add_tags":["a"]}"#)
    case "GET /batches/{batch}": Sample(path)
    case "POST /batches/{batch}/undo": Sample(path, "{}")
    case "POST /documents/{id}/links": Sample(path, "{}")
    case "GET /documents/{id}/links", "GET /documents/{id}/links/{link}", "DELETE /documents/{id}/links/{link}",
      "GET /links/{link}", "GET /links/{link}/content":
      Sample(path)
    case "POST /documents/{id}/signing-sessions":
      Sample(path, #"{"participants":[{"email":"other@example.com","name":"O"}]}"#)
    case "GET /documents/{id}/signing-sessions", "GET /documents/{id}/signing-sessions/{session}",
      "GET /documents/{id}/signing-sessions/{session}/receipt", "GET /documents/{id}/signing-sessions/{session}/sealed":
      Sample(path)
    case "POST /documents/{id}/signing-sessions/{session}/cancel": Sample(path, "{}")
    case "POST /documents/{id}/signing-sessions/{session}/approve": Sample(path, #"{"email":"\#(caller.email)"}"#)
    case "POST /documents/{id}/signing-sessions/{session}/decline":
      Sample(path, #"{"email":"\#(caller.email)","reason":"no"}"#)
    case "GET /analytics/top", "GET /suggestions", "GET /documents/{id}/similar": Sample(path)
    case "GET /documents/{id}", "DELETE /documents/{id}", "GET /documents/{id}/content", "GET /documents/{id}/stats",
      "GET /documents/{id}/signatures", "GET /documents/{id}/audit", "GET /documents/{id}/shares", "GET /search",
      "GET /documents", "GET /lists/counts", "GET /activity", "GET /healthz", "GET /livez", "GET /readyz",
      "GET /metrics", "GET /openapi.json", "GET /docs", "GET /admin/rebuilds", "GET /admin/parked":
      Sample(path)
    case "GET /admin/webhooks", "POST /admin/webhooks/{webhook}/disable": Sample(path)
    case "DELETE /admin/rebuilds/{view}", "GET /admin/parked/{number}", "POST /admin/parked/{number}/{request}":
      Sample(
        path.replacing("{view}", with: "none").replacing("{number}", with: "999999").replacing(
          "{request}", with: "retry"))
    default: nil
    }
  }

  @Test("are as the table says: each route, for each role, in each relation to the document, and without a token")
  func matrix() async throws {
    let (table, operators) = try await withRoutes { context, groups in
      let operations = try Operations(context, checks: [], described: groups, stop: StopSignal())
      return (RightsTable(groups + operations.everything), Set(operations.operators.flatMap(\.routes).map(\.path)))
    }
    try await withAnnals(tokens.merging(["ANNALS_PROJECTION_VIEWS": ""]) { $1 }) { annals in
      let admin = try Person("admin", [.admin])
      let letter = #"{"title":"Letter","fields":[{"name":"topic","kind":"text"}]}"#
      #expect(try await annals.send(admin, .put, "/document-types/letter", letter).status == 200)
      for path in ["/search", "/activity", "/signers/none/documents"] {
        try await eventually("\(path) has its index", on: annals.reactor) {
          try await annals.send(admin, .get, path).status == 200
        }
      }
      var cells = 0
      func check(_ route: Route, _ caller: Person?, _ relation: RightsTable.Relation?, _ expected: (Int) -> Bool)
        async throws
      {
        let somebody = try caller ?? Person("nobody", [])
        let id = try await document(annals, admin, of: somebody, relation)
        var sample = try #require(
          self.sample(route, id, somebody, isSelf: relation?.name == "self"),
          "no sample for \(route.method) \(route.path)")
        if route.path.hasPrefix("/batches") {
          sample = Sample(sample.target, try await batchBody(annals, admin, somebody))
          if route.path.contains("{batch}") {
            let id = try await batch(annals, admin, somebody)
            sample = Sample(sample.target.replacing("{batch}", with: id), route.method == .post ? "{}" : nil)
          }
        }
        if route.path.contains("{search}") {
          // Each has his own.
          let search = try await annals.send(somebody, .post, "/saved-searches", #"{"name":"S","query":{"q":"x"}}"#)
            .json
          sample = Sample(sample.target.replacing("{search}", with: search["id"]?.string ?? "none"))
        }
        if route.path.contains("{webhook}") {
          let webhook = try await annals.send(somebody, .post, "/webhooks", Self.webhook).json
          sample = Sample(sample.target.replacing("{webhook}", with: webhook["id"]?.string ?? "none"), sample.body)
        }
        if route.path.contains("{link}") {
          let link = try await annals.send(admin, .post, "/documents/\(id)/links", "{}").json
          let url = try #require(link["url"]?.string).dropFirst("/v1".count)
          let (path, query) = (url.prefix { $0 != "?" }, url.drop { $0 != "?" })
          let target = sample.target.replacing("{link}", with: path.split(separator: "/").last ?? "")
          sample = Sample(route.right == .anyone ? target + query : target, sample.body)
        }
        if route.path.contains("{session}") {
          sample = Sample(
            sample.target.replacing("{session}", with: try await session(annals, admin, on: id, somebody, relation)),
            sample.body)
        }
        let isOperators = operators.contains(route.path) && route.right != .anyone
        let method = try #require(HTTPRequest.Method(rawValue: route.method.rawValue))
        let url = (isOperators || route.path == "/metrics" ? annals.operationsURL : annals.url) + sample.target
        let request = HTTPRequest(
          method, url,
          headers: (caller?.headers ?? []) + (sample.body.map { _ in [("Content-Type", "application/json")] } ?? []),
          body: sample.body.map { Array($0.utf8) })
        let answer: (status: Int, text: String)
        if route.path.hasSuffix("/events") {
          // It has no end.
          let stream = await annals.client.open(request)
          answer = (try await stream.head().status, "")
          stream.cancel()
        } else {
          let whole = try await annals.client.send(request)
          let text = String(decoding: whole.body.prefix(300), as: UTF8.self)
          // Whoever may ask is told that there is none.
          let isThere = ["the session has no seal", "the log has no event", "is not parked for this webhook"].contains {
            text.contains($0)
          }
          answer = (isThere ? 200 : whole.status, text)
        }
        #expect(
          expected(answer.status),
          "\(route.method.rawValue) \(route.path), \(caller?.name ?? "no token") as \(relation?.name ?? "-"): \(answer.status) \(answer.text)"
        )
        cells += 1
      }
      for row in table.rows {
        try await check(row.route, nil, nil) { row.route.right == .anyone ? $0 == 200 : $0 == 401 }
        for cell in row.cells {
          let caller = try Person("\(cell.role.rawValue)-\(cells)", [cell.role])
          try await check(row.route, caller, cell.relation) { status in
            if cell.isAllowed {
              // Those of operators are asked for what there is not; the socket is not asked for as one.
              return row.route.right == .operate
                ? ![401, 403].contains(status) : (200..<300).contains(status) || status == 426
            }
            // A document that may not be seen is not there.
            let sees = cell.role == .admin || cell.role == .auditor || cell.relation?.name != "stranger"
            return row.route.right.isOfDocument && !sees ? status == 404 : status == 403
          }
        }
      }
      #expect(cells == table.rows.reduce(0) { $0 + $1.cells.count + 1 })
      #expect(cells > 300)
    }
  }

  /// The body of a batch with a document of the caller's own.
  private func batchBody(_ annals: RunningAnnals, _ admin: Person, _ caller: Person) async throws -> String {
    let document = try await document(annals, admin, of: caller, RightsTable.ofDocument.last)
    return #"{"documents":["\#(document)"],"add_tags":["a"]}"#
  }

  /// A finished batch of the caller's, or of an admin's if the caller may begin none.
  private func batch(_ annals: RunningAnnals, _ admin: Person, _ caller: Person) async throws -> String {
    let body = try await batchBody(annals, admin, caller)
    var begun = try await annals.send(caller, .post, "/batches", body)
    if begun.status != 202 { begun = try await annals.send(admin, .post, "/batches", body) }
    let id = try #require(begun.json["id"]?.string, "\(begun.json)")
    try await eventually("the batch is finished", on: annals.reactor) {
      try await annals.send(admin, .get, "/batches/\(id)").json["status"] == "finished"
    }
    return id
  }

  /// A session on a document that asks the caller to approve, if he may sign: what he may do stays what the relation says.
  private func session(
    _ annals: RunningAnnals, _ admin: Person, on document: String, _ caller: Person, _ relation: RightsTable.Relation?
  ) async throws -> String {
    let takesPart = relation?.name == "signer" || relation?.name == "owner" || caller.name.hasPrefix("admin")
    let approver = takesPart ? caller.email : "p@example.com"
    let opened = try await annals.send(
      admin, .post, "/documents/\(document)/signing-sessions",
      #"{"participants":[{"email":"\#(approver)","name":"C","role":"approver"},{"email":"o@example.com","name":"O"}]}"#)
    return try #require(opened.json["id"]?.string, "\(opened.json)")
  }

  /// A document that is to a caller what the relation says.
  private func document(
    _ annals: RunningAnnals, _ admin: Person, of caller: Person, _ relation: RightsTable.Relation?
  ) async throws -> String {
    let owner = relation?.name == "owner" ? caller.name : "somebody"
    let created = try await annals.send(
      admin, .post, "/documents", #"{"title":"It","content":"text","created_by":"\#(owner)"}"#)
    let id = try #require(created.json["id"]?.string)
    func share(_ with: String, _ rights: String) async throws {
      let answer = try await annals.send(admin, .put, "/documents/\(id)/shares/\(with)", #"{"rights":["\#(rights)"]}"#)
      #expect(answer.status == 200)
    }
    try await share("user:other", "view")
    switch relation?.name {
    case "viewer": try await share("user:\(caller.name)", "view")
    case "signer": try await share("user:\(caller.email)", "sign")
    case "changer": try await share("user:\(caller.name)", "change")
    default: break
    }
    return id
  }

  @Test("follow shares: with users by subject or address, with groups, for a while, and until they are taken back")
  func shares() async throws {
    try await withAnnals(tokens) { annals in
      let (owner, jane) = (try Person("owner", [.user]), try Person("jane", [.user], groups: ["legal"]))
      let created = try await annals.send(owner, .post, "/documents", #"{"title":"Lease"}"#)
      #expect(created.json["created_by"] == "owner")
      let id = try #require(created.json["id"]?.string)
      func sees() async throws -> Bool { try await annals.send(jane, .get, "/documents/\(id)/stats").status == 200 }
      func share(_ with: String, _ body: String) async throws -> Int {
        try await annals.send(owner, .put, "/documents/\(id)/shares/\(with)", body).status
      }
      func unshare(_ with: String) async throws -> Int {
        try await annals.send(owner, .delete, "/documents/\(id)/shares/\(with)").status
      }
      #expect(try await !sees())
      for with in ["user:jane", "user:Jane@Example.com", "group:legal"] {
        #expect(try await share(with, #"{"rights":["view"]}"#) == 200)
        #expect(try await sees(), "\(with)")
        #expect(try await unshare(with) == 200)
        #expect(try await !sees(), "\(with)")
        #expect(try await unshare(with) == 404)
      }
      for with in ["user:JANE", "group:jane", "user:legal", "user:jane@example.com.org"] {
        #expect(try await share(with, #"{"rights":["view"]}"#) == 200)
        #expect(try await !sees(), "\(with)")
      }
      // A cached row that is older than the share is not asked; one that may be seen is shown without its shares.
      #expect(try await share("user:jane", #"{"rights":["change"]}"#) == 200)
      try await eventually("the cached row is shared", on: annals.reactor) {
        let answer = try await annals.send(jane, .get, "/documents/\(id)")
        return answer.status == 200 && answer.response.header("x-annals-source") == "cache"
      }
      #expect(try await annals.send(jane, .get, "/documents/\(id)").json["shared"] == nil)
      #expect(try await annals.send(jane, .patch, "/documents/\(id)", #"{"title":"Mine"}"#).json["shared"] == nil)
      #expect(try await annals.send(owner, .get, "/documents/\(id)").json["shared"]?.array?.count ?? 0 > 0)
      #expect(try await annals.send(jane, .get, "/documents/\(id)?as_of=1").status == 403)
      #expect(try await annals.send(owner, .get, "/documents/\(id)?as_of=1").status == 200)
      // At once, the cached row too.
      #expect(try await unshare("user:jane") == 200)
      #expect(try await annals.send(jane, .get, "/documents/\(id)").status == 404)
      let soon = try #require(try await now(annals, plus: 2))
      #expect(try await share("user:jane", #"{"rights":["view"],"until":"\#(soon)"}"#) == 200)
      #expect(try await sees())
      try await eventually("the share is over", on: annals.reactor) { try await !sees() }
      for (with, body, status) in [
        ("user:jane", #"{"rights":["view"],"until":"2020-01-01T00:00:00Z"}"#, 422),
        ("user:jane", #"{"rights":[]}"#, 422),
        ("user:jane", #"{"rights":["view"],"until":"9999-12-31T23:59:59-01:00"}"#, 422),
        ("user:jane", #"{"rights":["own"]}"#, 422), ("jane", #"{"rights":["view"]}"#, 400),
        ("user:", #"{"rights":["view"]}"#, 400), ("group:%20", #"{"rights":["view"]}"#, 400),
      ] {
        #expect(try await share(with, body) == status, "\(with) \(body)")
      }
      let audit = try await annals.send(owner, .get, "/documents/\(id)/audit").json["entries"]?.array ?? []
      #expect(audit.contains { $0["type"] == "DocumentShared" && $0["actor"] == "owner" })
      let verified = try await annals.output(of: RunningAnnals.binary, ["verify"])
      #expect(verified.contains("0 differences"), "\(verified)")
    }
  }

  /// The server's time, some seconds on.
  private func now(_ annals: RunningAnnals, plus seconds: Int) async throws -> String? {
    let rows = try await annals.pool.query(
      .init("", "select to_char(now() at time zone 'utc' + interval '\(seconds) s', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"))
    return try rows[0].get(0, as: String.self)
  }

  @Test("limit what is found, listed, counted and highlighted to what the caller may see")
  func search() async throws {
    try await withAnnals(tokens.merging(["ANNALS_PROJECTION_VIEWS": "document-search,signature-search"]) { $1 }) {
      annals in
      let (owner, jane) = (try Person("owner", [.user]), try Person("jane", [.user], groups: ["legal"]))
      let (auditor, stranger) = (try Person("auditor", [.auditor]), try Person("stranger", [.guest]))
      var ids: [String] = []
      for title in ["open secret", "shared secret", "late secret", "hidden secret"] {
        let created = try await annals.send(
          owner, .post, "/documents", #"{"title":"\#(title)","content":"the secret text"}"#)
        ids.append(try #require(created.json["id"]?.string))
      }
      func share(_ id: String, _ with: String, _ body: String) async throws {
        #expect(try await annals.send(owner, .put, "/documents/\(id)/shares/\(with)", body).status == 200)
      }
      try await share(ids[0], "group:legal", #"{"rights":["view"]}"#)
      try await share(ids[1], "user:jane@example.com", #"{"rights":["sign"]}"#)
      let soon = try #require(try await now(annals, plus: 3))
      try await share(ids[2], "user:jane", #"{"rights":["view"],"until":"\#(soon)"}"#)
      func found(_ caller: Person) async throws -> Set<String> {
        let (status, answer, _) = try await annals.send(caller, .get, "/search?q=secret")
        let documents = answer["documents"]?.array ?? []
        // Until the index is made there is no answer.
        #expect(status == 503 || answer["total"]?.integer == Int64(documents.count))
        return Set(documents.compactMap { $0["id"]?.string })
      }
      try await eventually("the owner finds all", on: annals.reactor) { try await found(owner) == Set(ids) }
      try await eventually("jane finds hers", on: annals.reactor) { try await found(jane) == Set(ids[..<2]) }
      #expect(try await found(auditor) == Set(ids))
      #expect(try await found(stranger) == [])
      func counts(_ caller: Person) async throws -> JSONValue? {
        try await annals.send(caller, .get, "/aggregations/status").json["values"]
      }
      #expect(try await counts(jane) == [["key": "created", "count": 2]])
      #expect(try await counts(stranger) == [])
      #expect(try await counts(auditor) == [["key": "created", "count": 4]])
      let list = try await annals.send(jane, .get, "/documents?limit=100").json
      #expect(list["total"] == 2)
      #expect(Set(list["documents"]?.array?.compactMap { $0["id"]?.string } ?? []) == Set(ids[..<2]))
      #expect(try await annals.send(stranger, .get, "/documents").json["total"] == 0)
      // Jane signs in her own name alone; a document that she may not see any more is not among hers.
      func sign(_ caller: Person, as email: String) async throws -> Int {
        try await annals.send(
          caller, .post, "/signatures",
          #"{"document_id":"\#(ids[1])","signer_email":"\#(email)","signer_name":"J","signature_data":"aGk="}"#
        ).status
      }
      #expect(try await sign(jane, as: "owner@example.com") == 403)
      #expect(try await sign(jane, as: jane.email) == 201)
      func signed() async throws -> Int? {
        try await annals.send(jane, .get, "/signers/\(jane.email)/documents").json["documents"]?.array?.count
      }
      try await eventually("her signature is found", on: annals.reactor) { try await signed() == 1 }
      #expect(try await annals.send(owner, .delete, "/documents/\(ids[1])/shares/user:jane@example.com").status == 200)
      #expect(try await signed() == 0)
    }
  }

  @Test(
    "are by names as they are: another case, another form of a letter, an address that nobody has confirmed are others")
  func names() async throws {
    try await withAnnals(tokens) { annals in
      let owner = try Person("owner", [.user])
      func create(_ creator: Person, as name: String) async throws -> String {
        let made = try await annals.send(creator, .post, "/documents", #"{"title":"x","created_by":"\#(name)"}"#)
        #expect(made.status == 201)
        return made.json["id"]?.string ?? ""
      }
      func sees(_ person: Person, _ id: String) async throws -> Bool {
        try await annals.send(person, .get, "/documents/\(id)/stats").status == 200
      }
      let id = try await create(owner, as: "Owner@Example.com")
      #expect(try await sees(owner, id))
      let same = #"{"rights":["view"]}"#
      for (name, seen) in [("Kim", true), ("\u{212A}im", false), ("kim", false)] {
        let kim = Person(name, claims: [])
        #expect(try await annals.send(owner, .put, "/documents/\(id)/shares/user:Kim", same).status == 200)
        #expect(try await sees(kim, id) == seen, "\(name)")
      }
      #expect(try await annals.send(owner, .put, "/documents/\(id)/shares/user:boss@corp.com", same).status == 200)
      for (claims, seen) in [
        ([("email", "boss@corp.com")], false), ([("email", "Boss@corp.com"), ("email_verified", .bool(true))], true),
        ([("email", "boss@corp.com"), ("email_verified", "false")], false),
        ([("email", "boss@corp.com"), ("email_verified", "true")], true),
        ([("email", "owner"), ("email_verified", .bool(true))], false),
      ] as [([(String, JSONValue)], Bool)] {
        let person = Person("x", claims: claims.map { .init(name: $0.0, value: $0.1) })
        #expect(try await sees(person, id) == seen, "\(claims)")
      }
    }
  }

  @Test("keep versions of hidden documents, scores, and what happened while it was not shared")
  func hidden() async throws {
    try await withAnnals(tokens.merging(["ANNALS_PROJECTION_VIEWS": "document-search,document-cache"]) { $1 }) {
      annals in
      let (owner, jane) = (try Person("owner", [.user]), try Person("jane", [.guest]))
      let id = try await annals.send(owner, .post, "/documents", #"{"title":"one"}"#).json["id"]?.string ?? ""
      try await eventually("the owner finds it, without a score", on: annals.reactor) {
        let hit = try await annals.send(owner, .get, "/search?q=one").json["documents"]?.array?.first
        return hit != nil && hit?["score"] == .null
      }
      // However high the version that is waited for, there is nothing to wait for.
      for token in ["document-\(id):999999", "document-01890a5d-ac96-774b-bcce-b302099a8057:1"] {
        #expect(try await annals.send(jane, .get, "/search?at_least=\(token)").status == 200)
      }
      #expect(try await annals.send(owner, .get, "/search?at_least=document-\(id):999999").status == 504)
      let share = "/documents/\(id)/shares/user:jane"
      func patch(_ title: String) async throws {
        #expect(try await annals.send(owner, .patch, "/documents/\(id)", #"{"title":"\#(title)"}"#).status == 200)
      }
      #expect(try await annals.send(owner, .put, share, #"{"rights":["view"]}"#).status == 200)
      try await patch("seen")
      #expect(try await annals.send(owner, .delete, share).status == 200)
      try await patch("not seen")
      #expect(try await annals.send(owner, .put, share, #"{"rights":["view"]}"#).status == 200)
      try await patch("seen again")
      // From the beginning: what happened while it was not shared is passed over, and the stream goes on.
      let request = HTTPRequest(
        .get, annals.url + "/documents/\(id)/events?last_event_id=1-01890a5d-ac96-774b-bcce-b302099a8057",
        headers: jane.headers, timeout: .seconds(60))
      let stream = await annals.client.open(request)
      #expect(try await stream.head().status == 200)
      var text = ""
      while !text.contains("seen again"), let bytes = try await stream.next() {
        text += String(decoding: bytes, as: UTF8.self)
      }
      stream.cancel()
      // Its title then is what she sees of it when it is shared again.
      let names = text.split(separator: "\n").filter { $0.hasPrefix("event: ") }.map {
        $0.dropFirst("event: document.".count)
      }
      #expect(names == ["shared", "retitled", "shared", "retitled"] && !text.contains("actor"), "\(text)")
    }
  }

  @Test("of a token: the actor comes from it, and nobody acts as another")
  func actors() async throws {
    try await withAnnals(tokens) { annals in
      let jane = try Person("jane", [.user])
      func create(_ caller: Person, _ body: String, _ more: [(name: String, value: String)] = []) async throws -> (
        Int, JSONValue
      ) {
        let answer = try await annals.send(.post, "/documents", body, headers: caller.headers + more)
        return (answer.status, answer.json)
      }
      #expect(try await create(jane, #"{"title":"x","created_by":"bob"}"#).0 == 403)
      #expect(try await create(jane, #"{"title":"x","created_by":"bob"}"#).1["field"] == "/created_by")
      for name in ["jane", "jane@example.com", "Jane@Example.com"] {
        let (status, row) = try await create(jane, #"{"title":"x","created_by":"\#(name)"}"#)
        #expect(status == 201 && row["created_by"] == .string(name))
      }
      #expect(try await create(jane, #"{"title":"x"}"#, [("X-Actor", "bob")]).0 == 403)
      #expect(try await create(jane, #"{"title":"x"}"#, [("X-Actor", "jane")]).0 == 201)
      #expect(
        try await create(try Person("root", [.admin]), #"{"title":"x","created_by":"bob"}"#).1["created_by"] == "bob")
      for header in [
        "Bearer", "Basic abc", "Bearer a.b.c", "Bearer \(String(repeating: "a", count: 9_000))", "bearer  ",
      ] {
        let refused = try await annals.send(.get, "/documents", headers: [("Authorization", header)])
        #expect(refused.status == 401, "\(header.prefix(20))")
        #expect(refused.response.header("www-authenticate")?.contains("invalid_token") == true)
      }
      let token = try #require(jane.headers.first?.1.dropFirst("Bearer ".count))
      for header in ["bearer   \(token)", "BEARER \(token) ", "Bearer \(token)\t "] {
        let taken = try await annals.send(.post, "/documents", #"{"title":"x"}"#, headers: [("Authorization", header)])
        #expect(taken.status == 201, "\(header): \(taken.json)")
      }
      let nobody = try await annals.send(.get, "/documents", headers: [])
      #expect(nobody.status == 401 && nobody.response.header("www-authenticate") == #"Bearer realm="annals""#)
      #expect(try await annals.send(.get, "/auth/token?user_id=u", headers: []).status == 404)
    }
  }
}
