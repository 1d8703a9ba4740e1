public import JSON

/// A JSON Schema, as the API's description shows it (OpenAPI 3.1: draft 2020-12).
public indirect enum JSONSchema: Sendable {
  case raw(JSONValue)
  /// A schema with a name of its own in the description, shown once.
  case named(String, JSONSchema)
  case array(JSONSchema)
  case object([Property])
  /// The schema, or null.
  case nullable(JSONSchema)

  public struct Property: Sendable {
    let name: String
    let schema: JSONSchema
    let isRequired: Bool
    let description: String?

    public init(_ name: String, _ schema: JSONSchema, isRequired: Bool = true, _ description: String? = nil) {
      (self.name, self.schema, self.isRequired, self.description) = (name, schema, isRequired, description)
    }
  }

  public static func string(
    format: String? = nil, minLength: Int? = nil, maxLength: Int? = nil, pattern: String? = nil, values: [String] = []
  ) -> JSONSchema {
    var members: [JSONObject.Member] = [.init(name: "type", value: "string")]
    if let format { members.append(.init(name: "format", value: .string(format))) }
    if let minLength { members.append(.init(name: "minLength", value: .integer(Int64(minLength)))) }
    if let maxLength { members.append(.init(name: "maxLength", value: .integer(Int64(maxLength)))) }
    if let pattern { members.append(.init(name: "pattern", value: .string(pattern))) }
    if !values.isEmpty { members.append(.init(name: "enum", value: .array(values.map { .string($0) }))) }
    return .raw(.object(JSONObject(members)))
  }

  public static func integer(
    in bounds: ClosedRange<Int>? = nil, default fallback: Int? = nil
  ) -> JSONSchema {
    var members: [JSONObject.Member] = [.init(name: "type", value: "integer")]
    if let bounds {
      members.append(.init(name: "minimum", value: .integer(Int64(bounds.lowerBound))))
      members.append(.init(name: "maximum", value: .integer(Int64(bounds.upperBound))))
    }
    if let fallback { members.append(.init(name: "default", value: .integer(Int64(fallback)))) }
    return .raw(.object(JSONObject(members)))
  }

  public static let integer = integer()
  public static let number = JSONSchema.raw(["type": "number"])
  public static let boolean = JSONSchema.raw(["type": "boolean"])
  public static let any = JSONSchema.raw([:])

  /// The schema's JSON. Named schemas become references and are put into `components`.
  func json(_ components: inout [String: JSONValue]) -> JSONValue {
    switch self {
    case .raw(let value): return value
    case .named(let name, let schema):
      if components[name] == nil {
        components[name] = .null  // A schema that contains itself finds its name taken.
        components[name] = schema.json(&components)
      }
      return ["$ref": .string("#/components/schemas/\(name)")]
    case .array(let element): return ["type": "array", "items": element.json(&components)]
    case .nullable(let schema): return ["anyOf": [schema.json(&components), ["type": "null"]]]
    case .object(let properties):
      let members = properties.map { property in
        JSONObject.Member(
          name: property.name, value: property.schema.json(&components).describing(property.description))
      }
      let required = properties.filter(\.isRequired).map { JSONValue.string($0.name) }
      return [
        "type": "object", "properties": .object(JSONObject(members)), "required": .array(required),
      ]
    }
  }
}

extension JSONValue {
  /// The object with a `description` at its end; itself if there is no description.
  func describing(_ text: String?) -> JSONValue {
    guard let text, case .object(var object) = self else { return self }
    object.members.append(.init(name: "description", value: .string(text)))
    return .object(object)
  }
}
