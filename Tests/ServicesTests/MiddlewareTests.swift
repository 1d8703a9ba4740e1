import Domain
import EventStore
import Events
import HTTPServer
import JSON
import Logging
import Postgres
import Redis
import Services
import Support
import Testing

let quiet = quietLogger()

/// Puts its name around the answer.
private struct Mark: Middleware {
  let name: String

  func handle(_ request: Request, next: Handler) async throws -> Response {
    var response = try await next(request)
    response.headers.append(("Mark", name))
    return response
  }
}

@Suite("Middleware", .workLimit(minutes: 1)) struct MiddlewareTests {
  @Test("is folded around each route, the outermost first")
  func order() async throws {
    let route = Route(.get, "/", "It.", right: .anyone, answers: []) { _ in Response(200) }
    let router = Router(
      [RouteGroup("Test", prefixes: [""], middleware: [Mark(name: "inner")], routes: [route])],
      middleware: [Mark(name: "outer")], access: try development())
    let answer = try await router.respond(to: try Request(.get, "/"))
    #expect(answer.headers.map(\.value) == ["inner", "outer"])
  }

  @Test("finds out who acts, and refuses a name that nobody can read")
  func identity() async throws {
    let route = Route(.get, "/", "It.", right: .identified, answers: []) { .text($0.caller.actor ?? "nobody") }
    func answer(_ headers: [(name: String, value: String)]) async throws -> Response {
      try await respond([route], .get, "/", headers: headers)
    }
    #expect(try await answer([("X-Actor", "alice")]).status == 200)
    #expect(try await answer([]).status == 200)
    // A page of another site that a developer has open.
    #expect(try await answer([("Sec-Fetch-Site", "cross-site")]).status == 403)
    #expect(try await answer([("Sec-Fetch-Site", "same-origin")]).status == 200)
    for name in [" ", "", String(repeating: "x", count: 201)] {
      let refused = try await answer([("X-Actor", name)])
      #expect(refused.status == 400)
      #expect(try json(refused)["field"] == "X-Actor")
    }
  }
}

@Suite("Errors of handlers", .workLimit(minutes: 1)) struct ErrorResponsesTests {
  private func answer(_ error: any Error) async throws -> (status: Int, json: JSONValue, headers: [String: String]) {
    let route = Route(.get, "/", "It.", right: .anyone, answers: []) { _ in throw error }
    let answer = try await respond([route], .get, "/")
    return (
      answer.status, try json(answer), Dictionary(answer.headers.map { ($0.name, $0.value) }) { first, _ in first }
    )
  }

  private struct Odd: Refusal {
    let kind: RefusalKind
    let description = "that is odd"
    var field: String? { "/odd" }
  }

  @Test("an aggregate's refusal carries its own status and field")
  func refusals() async throws {
    let statuses: [(RefusalKind, Int)] = [(.notFound, 404), (.gone, 410), (.conflict, 409), (.invalid, 422)]
    for (kind, status) in statuses {
      let (found, json, _) = try await answer(Odd(kind: kind))
      #expect(found == status)
      #expect(json["detail"] == "that is odd")
      #expect(json["field"] == "/odd")
      #expect(json["status"] == .integer(Int64(status)))
    }
    let documents: [(DocumentRefusal, Int)] = [
      (.notFound, 404), (.deleted, 410), (.exists, 409), (.titleIsEmpty, 422),
      (.titleIsTooLong(count: 501, limit: 500), 422), (.noTransition(from: .archived, to: .viewed), 409),
    ]
    for (refusal, status) in documents { #expect(try await answer(refusal).status == status, "\(refusal)") }
  }

  @Test("a server that does not answer is named, with when to ask again; its own words stay in the log")
  func dependencies() async throws {
    let secret = "host 10.0.0.7 refused user annals"
    let errors: [(any Error, String)] = [
      (PostgresError.connecting(host: "db", reason: secret), "Postgres"),
      (AppendError.database(.connecting(host: "db", reason: secret)), "Postgres"),
      (ReadError.database(.connecting(host: "db", reason: secret)), "Postgres"),
      (RedisError.refused(command: "GET", reason: secret), "Redis"),
    ]
    for (error, name) in errors {
      let (status, json, headers) = try await answer(error)
      #expect(status == 503, "\(error)")
      #expect(json["detail"]?.string?.hasPrefix("\(name) does not answer") == true)
      #expect(headers["Retry-After"] != nil)
      #expect(!json.description.contains("10.0.0.7"))
    }
  }

  @Test("a lost race is a conflict with the version that is there; an unknown error says nothing of itself")
  func others() async throws {
    let stream = Document.stream("1")
    let conflict = try await answer(AppendError.versionConflict(stream: stream, expected: .exact(1), actual: 2))
    #expect(conflict.status == 409)
    #expect(conflict.headers["ETag"] == "\"2\"")
    struct Unknown: Error { let secret = "10.0.0.7" }
    let unknown = try await answer(Unknown())
    #expect(unknown.status == 500)
    #expect(!unknown.json.description.contains("10.0.0.7"))
    #expect(try await answer(CancellationError()).status == 503)
  }
}
