import Configuration
import HTTPServer
import Identifiers
import JSON
import Services
import Testing

/// Answers a request by routes, without a socket.
func respond(
  _ routes: [Route], _ method: Request.Method, _ target: String, headers: [(name: String, value: String)] = [],
  body: RequestBody = .empty
) async throws -> Response {
  let router = Router(
    [RouteGroup("Test", routes: routes)], middleware: [ErrorResponses(logger: quiet)], access: try development())
  return try await router.respond(to: try Request(method, target, headers: headers, body: body))
}

/// Everybody may do everything.
func development() throws -> Access {
  let settings = try Configuration(IdentitySettings.all, environment: ["ANNALS_AUTH_MODE": "development"])
  return Access(Authenticator(settings, keys: TrustedKeys(settings))) { _ in nil }
}

func json(_ response: Response) throws -> JSONValue {
  guard case .bytes(let bytes) = response.body else { return .null }
  return try JSONValue(parsing: bytes)
}

private func text(_ response: Response) -> String {
  guard case .bytes(let bytes) = response.body else { return "" }
  return String(decoding: bytes, as: UTF8.self)
}

/// A request's body and the headers that go with it.
private struct Body {
  let bytes: [UInt8]
  let headers: [(name: String, value: String)]

  static func json(_ text: String) -> Body { Body(bytes: Array(text.utf8), headers: []) }

  static func form(_ parts: (name: String, value: [UInt8])...) -> Body {
    var bytes: [UInt8] = []
    for (name, value) in parts {
      bytes += Array("--b\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n".utf8) + value + [13, 10]
    }
    return Body(
      bytes: bytes + Array("--b--\r\n".utf8), headers: [("Content-Type", "multipart/form-data; boundary=b")])
  }

  static func form(_ parts: (name: String, text: String)...) -> Body {
    let made = parts.map { ($0.name, Array($0.text.utf8)) }
    var bytes: [UInt8] = []
    for (name, value) in made { bytes += form((name: name, value: value)).bytes.dropLast("--b--\r\n".utf8.count) }
    return Body(
      bytes: bytes + Array("--b--\r\n".utf8), headers: [("Content-Type", "multipart/form-data; boundary=b")])
  }
}

@Suite("A declared route", .timeLimit(.minutes(1))) struct RouteTests {
  private let id = "01890a5d-ac96-774b-bcce-b302099a8057"
  private let read = Route(
    .get, "/things/{id}", "Read a thing.", right: .identified, answers: [Answer(200, "It.")],
    Input<UUID>(path: "id", "The id."), Input<Int64?>(query: "after", "After."),
    Input(query: "size", default: 10, in: 1...100, "Size."), Input<String?>(header: "X-Mode", "Mode.")
  ) { _, id, after, size, mode in .text("\(id) \(after ?? -1) \(size) \(mode ?? "-")") }

  private let write = Route(
    .post, "/things", "Write a thing.", right: .create, body: .fieldsOrForm(limit: 1_000, form: 2_000, example: "{}"),
    answers: [Answer(201, "It.")], Input<String>(field: "name", "Name."),
    Input<Int64?>(optional: "count", aliases: ["number"], "Count.")
  ) { _, name, count in .text("\(name) \(count ?? -1)") }

  @Test("hands its inputs to the handler, under each prefix")
  func inputs() async throws {
    for prefix in ["", "/v1"] {
      let answer = try await respond(
        [read], .get, "\(prefix)/things/\(id)?size=3&after=7", headers: [("x-mode", "fast"), ("X-Unknown", "fine")])
      #expect(text(answer) == "\(id) 7 3 fast")
    }
    #expect(text(try await respond([read], .get, "/things/\(id)")) == "\(id) -1 10 -")
    #expect(text(try await respond([read], .head, "/things/\(id)")) == "\(id) -1 10 -")
  }

  @Test(
    "refuses what is malformed, undeclared or given twice, and names it",
    arguments: [
      ("/things/none", "id"), ("/things/ID?after=x", "after"), ("/things/ID?size=0", "size"),
      ("/things/ID?size=101", "size"), ("/things/ID?sise=3", "sise"), ("/things/ID?size=3&size=4", "size"),
    ])
  func malformed(_ target: String, _ field: String) async throws {
    let answer = try await respond([read], .get, target.replacing("ID", with: id))
    #expect(answer.status == 400)
    #expect(try json(answer)["field"]?.string == field)
    #expect(try json(answer)["detail"]?.string?.isEmpty == false)
  }

  @Test("takes fields from JSON and from a form, under their aliases there")
  func fields() async throws {
    let bodies: [(Body, String)] = [
      (.json(#"{"name":"a","count":3}"#), "a 3"), (.json(#"{"name":"a","count":null}"#), "a -1"),
      (.form((name: "number", text: "4"), (name: "name", text: "b")), "b 4"),
    ]
    for (body, expected) in bodies {
      let answer = try await respond([write], .post, "/things", headers: body.headers, body: .bytes(body.bytes))
      #expect(text(answer) == expected)
    }
  }

  @Test("refuses fields that are missing, unknown, doubled or of another type, and other media types")
  func badFields() async throws {
    let many = "[" + String(repeating: "1,", count: 100_000) + "1]"
    let bodies: [(Body, Int, String?)] = [
      (.json("{}"), 422, "/name"), (.json(#"{"name":"a","cuont":1}"#), 422, "/cuont"),
      (.json(#"{"name":7}"#), 422, "/name"), (.json(#"{"name":"a","number":1}"#), 422, "/number"),
      (.json("[]"), 422, nil), (.json("{"), 400, nil), (.json(""), 400, nil), (.json(many), 413, nil),
      (.json(#"{"name":""# + String(repeating: "x", count: 1_000) + "\"}"), 413, nil),
      (.form((name: "name", text: "a"), (name: "name", text: "b")), 422, "name"),
      (.form((name: "name", text: "a"), (name: "count", text: "1"), (name: "number", text: "2")), 422, "number"),
      (.form((name: "name", text: "a"), (name: "count", text: "x")), 422, "count"),
      (.form((name: "name", text: "a"), (name: "colour", text: "x")), 422, "colour"),
      (.form((name: "name", value: [0xFF])), 422, "name"),
      (.form((name: "name", text: String(repeating: "x", count: 2_000))), 413, nil),
      (Body(bytes: Array("--b--".utf8), headers: Body.form((name: "", text: "")).headers), 422, "name"),
      (Body(bytes: Array("--b\r\n".utf8), headers: Body.form((name: "", text: "")).headers), 400, "Content-Type"),
    ]
    for (body, status, field) in bodies {
      let answer = try await respond([write], .post, "/things", headers: body.headers, body: .bytes(body.bytes))
      #expect(answer.status == status, "\(body)")
      #expect(try json(answer)["field"]?.string == field, "\(body)")
    }
    let answer = try await respond(
      [write], .post, "/things", headers: [("Content-Type", "text/csv")], body: .bytes(Array(#"{"name":"a"}"#.utf8)))
    #expect(answer.status == 415)
    // A route without a body refuses one.
    #expect(try await respond([read], .get, "/things/\(id)", body: .bytes([1])).status == 400)
  }

  @Test("answers OPTIONS and other methods with what is possible")
  func methods() async throws {
    let options = try await respond([read], .options, "/things/\(id)")
    #expect(options.status == 204)
    #expect(options.headers.first { $0.name == "Allow" }?.value == "GET, HEAD, OPTIONS")
    let wrong = try await respond([read], .put, "/things/\(id)")
    #expect(wrong.status == 405)
    #expect(wrong.headers.first { $0.name == "Allow" }?.value == "GET, HEAD, OPTIONS")
    #expect(try await respond([read], .get, "/nothing").status == 404)
  }
}

@Suite("Long names and values", .timeLimit(.minutes(1))) struct LongInputTests {
  private let write = Route(
    .post, "/things", "Write a thing.", right: .create, body: .fields(limit: 1 << 24, example: "{}"), answers: [],
    Input<UUID>(field: "name", "Name.")
  ) { _, _ in Response(204) }

  @Test(
    "are answered shortly, and without the minutes that an edit distance would take", arguments: ["unknown", "value"])
  func short(_ kind: String) async throws {
    let long = String(repeating: "x", count: 4 << 20)
    let body = kind == "unknown" ? #"{"name":"\#(UUID.version7())","\#(long)":1}"# : #"{"name":"\#(long)"}"#
    let answer = try await respond([write], .post, "/things", body: .bytes(Array(body.utf8)))
    #expect(answer.status == 422)
    guard case .bytes(let bytes) = answer.body else { return }
    #expect(bytes.count < 1_024)
  }
}
