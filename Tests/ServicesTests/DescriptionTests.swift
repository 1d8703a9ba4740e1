import Configuration
import HTTPServer
import JSON
import Lifecycle
import Metrics
import Reactor
import Services
@testable import annals
import Support
import Testing

/// All features that have routes, on a context that nobody has connected.
func withRoutes<Value: Sendable>(
  _ environment: [String: String] = [:], _ body: @Sendable (Context, [RouteGroup]) async throws -> Value
) async throws -> Value {
  try await withReactor { reactor in
    let features = Features.all
    let settings = try Configuration(ConnectionSettings.all + features.flatMap(\.settings), environment: environment)
    let context = try Context(
      settings: settings, features: features, version: "1",
      shared: Context.Shared(settings, metrics: MetricsRegistry()), on: reactor,
      logger: quiet,
      metrics: MetricsRegistry())
    return try await body(context, try features.flatMap { try $0.routes(context) })
  }
}

@Suite("The API's description", .workLimit(minutes: 1)) struct DescriptionTests {
  @Test("has every route once, with references that lead somewhere and names of their own")
  func complete() async throws {
    try await withRoutes { context, groups in
      let operations = try Operations(context, checks: [], described: groups, stop: StopSignal())
      let document = operations.document
      #expect(document["openapi"] == "3.1.0")
      let routes = groups.flatMap(\.routes) + operations.operators.flatMap(\.routes)
      var identifiers: [String] = []
      for (path, item) in document["paths"]?.object?.members.map({ ($0.name, $0.value) }) ?? [] {
        for member in item.object?.members ?? [] where member.name != "servers" {
          let route = routes.first { $0.path == path && $0.method.rawValue.lowercased() == member.name }
          #expect(route != nil, "\(member.name) \(path)")
          identifiers.append(member.value["operationId"]?.string ?? "")
          #expect(member.value["x-right"]?.string == route?.right.rawValue)
        }
      }
      #expect(identifiers.count == routes.count)
      #expect(Set(identifiers).count == routes.count)
      #expect(document["paths"]?["/readyz"]?["servers"] == [["url": "/"]])
      #expect(document["paths"]?["/documents"]?["servers"] == nil)
      let references = references(in: document)
      #expect(!references.isEmpty)
      for reference in references {
        let name = String(reference.split(separator: "/").last ?? "")
        #expect(document["components"]?["schemas"]?[name] != nil, "\(reference)")
      }
    }
  }

  @Test(
    "is one of processes that serve documents: relay and projections have operators' routes alone, in development too")
  func operatorsAlone() async throws {
    try await withRoutes(["ANNALS_AUTH_MODE": "development"]) { context, _ in
      for feature in [Features.operatorsIdentity, Features.outbox, Features.relay, Features.projections]
        as [any Feature]
      {
        let routes = try feature.routes(context)
        #expect(routes.isEmpty, "\(feature.name)")
      }
      let tokens = try Features.identity.routes(context)
      #expect(!tokens.isEmpty)
    }
  }

  private func references(in value: JSONValue) -> [String] {
    switch value {
    case .object(let object):
      object.members.flatMap { member in
        member.name == "$ref" ? [member.value.string ?? ""] : references(in: member.value)
      }
    case .array(let elements): elements.flatMap(references)
    default: []
    }
  }

  @Test("says of a body which fields it has, and that there are no others")
  func bodies() async throws {
    try await withRoutes { context, groups in
      let document = try Operations(context, checks: [], described: groups, stop: StopSignal()).document
      let content = document["paths"]?["/documents/{id}"]?["patch"]?["requestBody"]?["content"]
      let schema = content?["application/json"]?["schema"]
      #expect(schema?["properties"]?.object?.members.map(\.name) == ["title", "status", "tags", "type", "fields"])
      #expect(schema?["additionalProperties"] == false)
      #expect(
        schema?["properties"]?["status"]?["anyOf"]?.array?.first?["enum"]
          == ["created", "viewed", "pending", "signed", "rejected", "archived"])
      let parameters = document["paths"]?["/documents/{id}"]?["patch"]?["parameters"]?.array ?? []
      #expect(parameters.map { $0["name"]?.string } == ["id", "If-Match", "X-Actor"])
    }
  }

  @Test("says ready only while every required check finds nothing, and not while the process stops")
  func readiness() async throws {
    try await withRoutes { context, _ in
      let stop = StopSignal()
      struct Broken: Error, CustomStringConvertible { let description = "no disk" }
      func ask(_ checks: [Check], _ target: String = "/readyz") async throws -> (Int, JSONValue) {
        let operations = try Operations(context, checks: checks, described: [], stop: stop)
        let router = Router(operations.open, middleware: [], access: Access(context))
        let answer = try await router.respond(to: try Request(.get, target))
        var members = try json(answer).object?.members ?? []
        let servers = members.first { $0.name == "dependencies" }?.value.array ?? []
        #expect(servers.map { $0["name"] } == ["Elasticsearch", "Postgres", "Redis", "the object store"])
        #expect(servers.allSatisfy { $0["state"] == "working" })
        members.removeAll { $0.name == "dependencies" }
        return (answer.status, .object(JSONObject(members)))
      }
      let good = Check("a", isRequired: true, isPublic: true) { "fine" }
      let optional = Check("b", isPublic: true) { throw Broken() }
      let required = Check("c", isRequired: true, isPublic: true) { throw Broken() }
      let ready = try await ask([good, optional])
      #expect(ready == (200, ["ready": true, "failing": []]))
      let verbose = try await ask([good, optional], "/readyz?verbose")
      #expect(verbose.0 == 200)
      #expect(
        verbose.1 == [
          "ready": true, "failing": [["name": "b", "problem": "no disk"]], "ok": [["name": "a", "found": "fine"]],
        ])
      let failing = try await ask([good, required])
      #expect(failing == (503, ["ready": false, "failing": [["name": "c", "problem": "no disk"]]]))
      // A server's own words are for the log and for `annals doctor`.
      let secret = try await ask([Check("d", isRequired: true) { throw Broken() }])
      #expect(secret.0 == 503)
      #expect(!secret.1.description.contains("disk"))
      #expect(try await ask([good], "/readyz?probe=1").0 == 200)
      stop.signal()
      #expect(try await ask([good]).0 == 503)
    }
  }
}
