import HTTPServer
import JSON
import Spelling

/// Reads the declared inputs of one request, and refuses what nobody declared: a mistyped filter would filter nothing
/// without a word.
struct RequestReader: Sendable {
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

  private enum Fields: Sendable {
    case none
    case json(JSONObject)
    case form([FormPart])
  }

  let request: Request
  private let names: Names
  private let fields: Fields

  init(_ request: Request, _ names: Names) throws(Problem) {
    (self.request, self.names) = (request, names)
    fields = names.body.isFields ? try Self.fields(of: request, names.body) : .none
  }

  private static func fields(of request: Request, _ body: Route.Body) throws(Problem) -> Fields {
    switch request.body {
    case .form(let parts):
      if case .fieldsOrForm = body { return .form(parts) }
      throw Problem(
        415, "Unsupported media type", detail: "the body is a form; send application/json", field: "Content-Type")
    case .bytes(let bytes):
      if let type = request.headers["Content-Type"], !Self.isJSON(type) {
        throw Problem(
          415, "Unsupported media type", detail: "the body is “\(type.prefix(80))”; send application/json",
          field: "Content-Type")
      }
      do throws(JSONError) {
        let value = try JSONValue(parsing: bytes)
        guard case .object(let object) = value else {
          throw JSONError(.wrongType(expected: "object", found: value.kind))
        }
        return .json(object)
      } catch {
        let type = request.headers["Content-Type"] ?? ""
        guard type.lowercased().hasPrefix("application/x-www-form-urlencoded") else { throw Problem(error) }
        throw Problem(
          415, "Unsupported media type", detail: "the body is not JSON (\(error)); send application/json",
          field: "Content-Type")
      }
    case .empty, .stream:
      throw Problem(400, "Malformed body", detail: "the body is empty; a JSON object is expected")
    }
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
      let found = parts.filter { $0.name == name || aliases.contains($0.name) }
      guard let part = found.first else { return nil }
      guard found.count == 1 else { throw problem(.field, part.name, "the part is there twice") }
      do { return try V(part: part) } catch { throw problem(.field, part.name, error.explanation) }
    }
  }

  /// Refuses what no input has declared.
  func end() throws(Problem) {
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
    switch fields {
    case .none: break
    case .json(let object):
      for member in object.members where !names.fields.contains(member.name) {
        throw Problem(
          JSONError(
            .unknown(member.name, nearest: nearest(to: member.name, in: names.fields)), path: [.name(member.name)])
        )
      }
    case .form(let parts):
      for part in parts where !names.parts.contains(part.name) {
        throw problem(
          .field, part.name,
          "there is no part “\(part.name.prefix(80))” here; use \(names.parts.joined(separator: ", "))")
      }
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
