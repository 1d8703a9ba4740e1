import Domain
import JSON

/// The name of a type of documents.
struct TypeName: InputValue {
  let text: String

  static let schema = JSONSchema.string(maxLength: DocumentType.maximumName, pattern: "^[a-z][a-z0-9_]*$")

  init(json: JSONValue) throws(JSONError) {
    text = try String(json: json)
    guard DocumentType.isName(text) else {
      throw JSONError(
        .invalid(
          String(text.prefix(80)),
          remedy:
            "use 1 to \(DocumentType.maximumName) letters a to z, digits and underscores, a letter first, as in invoice"
        ))
    }
  }
}

/// Values of a document's own fields, as they were sent. A part of a form has them as JSON.
struct FieldValues: InputValue {
  let values: JSONObject

  static let schema = JSONSchema.raw([
    "type": "object",
    "additionalProperties": ["type": ["string", "number", "boolean", "object", "null"]],
  ])

  init(json: JSONValue) throws(JSONError) {
    guard let object = json.object else { throw JSONError(.wrongType(expected: "object", found: json.kind)) }
    values = object
  }

  init(part: [UInt8]) throws(JSONError) { try self.init(json: JSONValue(parsing: part)) }

  var text: String { JSONValue.object(values).description }
}

/// The fields of a type, as they were sent.
struct FieldList: InputValue {
  let fields: [FieldDefinition]

  static let schema = JSONSchema.array(
    .object([
      .init("name", .string(maxLength: DocumentType.maximumName, pattern: "^[a-z][a-z0-9_]*$")),
      .init("title", .string(maxLength: DocumentType.maximumTitle), isRequired: false),
      .init("kind", .string(values: FieldKind.allCases.map(\.rawValue))),
      .init("required", .boolean, isRequired: false),
      .init("options", .array(.string()), isRequired: false, "The values of a select."),
    ]))

  init(json: JSONValue) throws(JSONError) {
    guard let values = json.array else { throw JSONError(.wrongType(expected: "array", found: json.kind)) }
    var fields: [FieldDefinition] = []
    for (place, value) in values.enumerated() {
      do {
        fields.append(try FieldDefinition(json: value))
        // A word that is not known may be one that is misspelt.
        var known = try JSONFields(value)
        for member in FieldDefinition.members { _ = try known.optional(member, as: JSONValue.self) }
        try known.end()
      } catch { throw JSONError(error.reason, offset: error.offset, path: [.index(place)] + error.path) }
    }
    self.fields = fields
  }
}
