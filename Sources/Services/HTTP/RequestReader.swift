import HTTPServer
import JSON
import Reactor
import Spelling

/// Reads the declared inputs of one request, and refuses what nobody declared: a mistyped filter would filter nothing
/// without a word.
struct RequestReader {
  /// The names that a route declares.
  struct Names: Sendable {
    let query: [String]
    /// The members of a JSON body.
    let fields: [String]
    /// The parts of a form: the fields, under their aliases too.
    let parts: [String]
    let body: Route.Body
    let ignoresQuery: Bool

    init(_ inputs: [InputDescription], _ body: Route.Body, ignoresQuery: Bool) {
      query = inputs.filter { $0.place == .query }.map(\.name)
      fields = inputs.filter { $0.place == .field }.map(\.name)
      parts = inputs.filter { $0.place == .field }.flatMap { [$0.name] + $0.aliases }
      (self.body, self.ignoresQuery) = (body, ignoresQuery)
    }
  }

  private struct Part {
    enum Content {
      case text([UInt8])
      /// Taken while it arrived.
      case received(any Sendable)
    }
    let name: String
    let content: Content
  }

  private enum Fields {
    case none
    case json(JSONObject)
    case form([Part])
  }

  /// Larger JSON is parsed off the loop.
  static let parsedOnLoop = 256 << 10
  /// Limit on the values in a JSON body: each takes memory, however short it is.
  static let maximumValues = 100_000
  /// Limit on a part of a form that is a short text, in bytes.
  static let maximumText = 16 << 10

  let request: Request
  private let names: Names
  private var fields = Fields.none

  init(_ request: Request, _ names: Names) { (self.request, self.names) = (request, names) }

  // MARK: The body

  mutating func readBody(_ inputs: [InputDescription]) async throws {
    switch names.body {
    case .none, .content: break
    case .fields(let limit, _): fields = .json(try await json(upTo: limit))
    case .fieldsOrForm(let limit, let formLimit, _):
      if let form = try await Form(request, upTo: formLimit) {
        fields = .form(try await parts(of: form, inputs))
      } else {
        fields = .json(try await json(upTo: limit))
      }
    }
  }

  private func json(upTo limit: Int) async throws -> JSONObject {
    let type = request.headers["Content-Type"] ?? ""
    guard type.isEmpty || Self.isJSON(type) else {
      throw Problem(
        415, "Unsupported media type", detail: "the body is “\(type.prefix(80))”; send application/json",
        field: "Content-Type")
    }
    guard (request.body.length ?? 0) <= limit else { throw tooLarge(limit) }
    let bytes = try await request.body.bytes(upTo: limit)
    guard !bytes.isEmpty else {
      throw Problem(400, "Malformed body", detail: "the body is empty; a JSON object is expected")
    }
    do throws(JSONError) {
      let value: JSONValue
      if bytes.count <= Self.parsedOnLoop {
        value = try JSONValue(parsing: bytes, maximumValues: Self.maximumValues)
      } else {
        value = try await Reactor.offLoop { () throws(JSONError) in
          try JSONValue(parsing: bytes, maximumValues: Self.maximumValues)
        }
      }
      guard case .object(let object) = value else {
        throw JSONError(.wrongType(expected: "object", found: value.kind))
      }
      return object
    } catch {
      guard type.lowercased().hasPrefix("application/x-www-form-urlencoded") else { throw Problem(error) }
      throw Problem(
        415, "Unsupported media type", detail: "the body is not JSON (\(error)); send application/json",
        field: "Content-Type")
    }
  }

  private func tooLarge(_ limit: Int) -> Problem {
    var detail = "a JSON body may have at most \(limit) bytes"
    if case .fieldsOrForm = names.body { detail += "; send larger content as a form, or by PUT" }
    return Problem(413, "Content too large", detail: detail)
  }

  private func parts(of form: Form, _ inputs: [InputDescription]) async throws -> [Part] {
    var parts: [Part] = []
    while let head = try await form.nextPart() {
      guard let input = inputs.first(where: { $0.place == .field && ([$0.name] + $0.aliases).contains(head.name) })
      else {
        throw problem(
          .field, head.name,
          "there is no part “\(head.name.prefix(80))” here; use \(names.parts.joined(separator: ", "))")
      }
      guard !parts.contains(where: { input.name == $0.name || input.aliases.contains($0.name) }) else {
        throw problem(.field, head.name, "the part is there twice")
      }
      if let receive = input.receive {
        parts.append(Part(name: head.name, content: .received(try await receive(head, form, request.body))))
      } else {
        let bytes = try await form.bytes(upTo: Self.maximumText)
        try await request.body.reserve(bytes.count)
        parts.append(Part(name: head.name, content: .text(bytes)))
      }
    }
    return parts
  }

  /// JSON, or the type that curl names if nobody tells it one.
  private static func isJSON(_ type: String) -> Bool {
    let name = type.prefix { $0 != ";" && $0 != " " }.lowercased()
    return name == "application/json" || name == "application/x-www-form-urlencoded"
  }

  // MARK: Reading

  func text<V: InputValue>(_ text: String, _ place: InputDescription.Place, _ name: String) throws(Problem) -> V {
    do { return try V(text: text) } catch { throw problem(place, name, error.explanation) }
  }

  /// nil if the field is missing or null.
  func field<V: InputValue>(_ name: String, _ aliases: [String]) throws(Problem) -> V? {
    switch fields {
    case .none: return nil
    case .json(let object):
      guard let value = object[name], value != .null else { return nil }
      do { return try V(json: value) } catch {
        throw Problem(JSONError(error.reason, path: [.name(name)] + error.path))
      }
    case .form(let parts):
      guard let part = parts.first(where: { $0.name == name || aliases.contains($0.name) }) else { return nil }
      switch part.content {
      case .received(let value): return value as? V
      case .text(let bytes):
        do { return try V(part: bytes) } catch { throw problem(.field, part.name, error.explanation) }
      }
    }
  }

  /// Refuses query parameters that no input has declared.
  func checkQuery() throws(Problem) {
    for (index, item) in request.query.enumerated() where !names.ignoresQuery {
      guard names.query.contains(item.name) else {
        throw problem(
          .query, item.name,
          "there is no parameter “\(item.name.prefix(80))” here"
            + (names.query.isEmpty ? "" : "; use \(names.query.joined(separator: ", "))"))
      }
      guard !request.query[..<index].contains(where: { $0.name == item.name }) else {
        throw problem(.query, item.name, "the parameter is given twice")
      }
    }
  }

  /// Refuses what no input has declared. The parts of a form were checked while they arrived.
  func end() throws(Problem) {
    try checkQuery()
    guard case .json(let object) = fields else { return }
    for member in object.members where !names.fields.contains(member.name) {
      throw Problem(
        JSONError(
          .unknown(member.name, nearest: nearest(to: member.name, in: names.fields)), path: [.name(member.name)])
      )
    }
  }

  // MARK: Problems

  func missing(_ name: String) -> Problem {
    if case .form = fields { return problem(.field, name, "the part is missing") }
    return Problem(JSONError(.missing(name), path: [.name(name)]))
  }

  func problem(_ place: InputDescription.Place, _ name: String, _ detail: String) -> Problem {
    let field = String(name.prefix(80))
    return switch place {
    case .path, .query, .header: Problem(400, "Malformed \(place.rawValue)", detail: detail, field: field)
    case .field: Problem(422, "Invalid form", detail: "\(field): \(detail)", field: field)
    }
  }
}

extension Problem {
  init(_ error: JSONError) {
    let isWellFormed =
      switch error.reason {
      case .missing, .unknown, .wrongType, .outOfRange, .invalid: true
      default: false
      }
    self.init(
      isWellFormed ? 422 : 400, isWellFormed ? "Invalid body" : "Malformed JSON", detail: error.description,
      field: error.pointer.isEmpty ? nil : String(error.pointer.prefix(160)))
  }
}
