public import HTTPServer
import JSON

/// One thing that a route reads from a request, declared once: validation, the refusal of everything undeclared and the
/// API's description come from here.
public struct Input<Value: Sendable>: Sendable {
  private(set) var description: InputDescription
  let read: @Sendable (RequestReader) throws(Problem) -> Value
}

extension Input {
  /// The same, which should not be used any more.
  func deprecated(_ deprecation: Deprecation) -> Self {
    var input = self
    input.description.deprecation = deprecation
    return input
  }
}

/// The declaration of an input, without its type.
public struct InputDescription: Sendable {
  public enum Place: String, Sendable { case path, query, header, field }

  public let place: Place
  public let name: String
  /// Other names under which a form may carry it.
  public let aliases: [String]
  public let isRequired: Bool
  public let schema: JSONSchema
  public let meaning: String
  /// nil: it may be used.
  var deprecation: Deprecation?
  /// Takes a part of a form while it arrives; nil: the part is a short text.
  let receive: (@Sendable (MultipartReader.PartHead, Form, RequestBody) async throws -> any Sendable)?

  public init(
    _ place: Place, _ name: String, aliases: [String] = [], isRequired: Bool, schema: JSONSchema, _ meaning: String
  ) {
    self.init(place, name, aliases: aliases, isRequired: isRequired, schema: schema, meaning, receive: nil)
  }

  init(
    _ place: Place, _ name: String, aliases: [String], isRequired: Bool, schema: JSONSchema, _ meaning: String,
    receive: (@Sendable (MultipartReader.PartHead, Form, RequestBody) async throws -> any Sendable)?
  ) {
    (self.place, self.name, self.aliases, self.isRequired) = (place, name, aliases, isRequired)
    (self.schema, self.meaning, self.receive) = (schema, meaning, receive)
  }
}

extension Input where Value: InputValue {
  /// A segment `{name}` of the path.
  public init(path name: String, _ meaning: String) {
    description = InputDescription(.path, name, isRequired: true, schema: Value.schema, meaning)
    read = { reader throws(Problem) in
      try reader.text(reader.request.parameters[name] ?? "", .path, name)
    }
  }

  /// A field of the body that must be there.
  public init(field name: String, schema: JSONSchema = Value.schema, _ meaning: String) {
    description = InputDescription(.field, name, isRequired: true, schema: schema, meaning)
    read = { reader throws(Problem) in
      guard let value: Value = try reader.field(name, []) else { throw reader.missing(name) }
      return value
    }
  }
}

extension Input {
  /// A query parameter that may be missing.
  public init<V: InputValue>(
    query name: String, as type: V.Type = V.self, schema: JSONSchema = V.schema, _ meaning: String
  )
  where Value == V? {
    description = InputDescription(.query, name, isRequired: false, schema: schema, meaning)
    read = { reader throws(Problem) in
      guard let text = reader.request.query(name) else { return nil }
      return try reader.text(text, .query, name)
    }
  }

  /// A header that may be missing.
  public init<V: InputValue>(header name: String, as type: V.Type = V.self, _ meaning: String) where Value == V? {
    description = InputDescription(.header, name, isRequired: false, schema: V.schema, meaning)
    read = { reader throws(Problem) in
      guard let text = reader.request.headers[name] else { return nil }
      return try reader.text(text, .header, name)
    }
  }

  /// A field of the body that may be missing or null.
  ///
  /// - Parameter aliases: Other names under which a form may carry it.
  public init<V: InputValue>(
    optional name: String, as type: V.Type = V.self, aliases: [String] = [], schema: JSONSchema = V.schema,
    _ meaning: String
  ) where Value == V? {
    description = InputDescription(.field, name, aliases: aliases, isRequired: false, schema: schema, meaning)
    read = { reader throws(Problem) in try reader.field(name, aliases) }
  }

  /// A field of the body that may be missing or null. In a form it may be of any size: `receive` takes it while it
  /// arrives. The parts that follow it may still be refused.
  public init<V: InputValue>(
    optional name: String, aliases: [String] = [], _ meaning: String,
    receive: @escaping @Sendable (MultipartReader.PartHead, Form, RequestBody) async throws -> V
  ) where Value == V? {
    description = InputDescription(
      .field, name, aliases: aliases, isRequired: false, schema: V.schema, meaning, receive: receive)
    read = { reader throws(Problem) in try reader.field(name, aliases) }
  }
}

extension Input<Int> {
  /// A whole number in the query, within bounds, with a value for when it is missing.
  public init(query name: String, default fallback: Int, in bounds: ClosedRange<Int>, _ meaning: String) {
    description = InputDescription(
      .query, name, isRequired: false, schema: .integer(in: bounds, default: fallback), meaning)
    read = { reader throws(Problem) in
      guard let text = reader.request.query(name) else { return fallback }
      guard let value = Int(text), bounds.contains(value) else {
        throw reader.problem(
          .query, name,
          "“\(text.prefix(80))” is not a whole number from \(bounds.lowerBound) to \(bounds.upperBound)")
      }
      return value
    }
  }
}

extension Input<String> {
  /// A query parameter with one of a few values, and a value for when it is missing.
  public init(query name: String, default fallback: String, oneOf values: [String], _ meaning: String) {
    description = InputDescription(.query, name, isRequired: false, schema: .string(values: values), meaning)
    read = { reader throws(Problem) in
      guard let text = reader.request.query(name) else { return fallback }
      guard values.contains(text) else {
        throw reader.problem(
          .query, name, "“\(text.prefix(80))” is not possible here; use \(values.joined(separator: ", "))")
      }
      return text
    }
  }

  /// A segment of the path with one of a few values.
  public init(path name: String, oneOf values: [String], _ meaning: String) {
    description = InputDescription(.path, name, isRequired: true, schema: .string(values: values), meaning)
    read = { reader throws(Problem) in
      let text = reader.request.parameters[name] ?? ""
      guard values.contains(text) else {
        throw reader.problem(
          .path, name, "“\(text.prefix(80))” is not possible here; use \(values.joined(separator: ", "))")
      }
      return text
    }
  }
}
