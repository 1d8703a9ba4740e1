public import JSON

/// A document's type and its values of that type's fields.
public struct CustomFields: Equatable, Sendable {
  public let type: String
  /// The definition of the type by which the values were last checked.
  public let definition: Int64
  /// In the order of their names.
  public let values: JSONObject

  /// How much all values of a document may be, in bytes of JSON.
  public static let maximum = 65_536

  /// By bytes: texts that are canonically equivalent are different ones.
  public static func == (left: Self, right: Self) -> Bool {
    left.definition == right.definition && left.isSame(as: right)
  }

  /// The same type and values, by whatever definition.
  func isSame(as other: CustomFields?) -> Bool {
    type == other?.type && JSONValue.object(values).bytes == other.map { JSONValue.object($0.values).bytes }
  }

  init(type: String, definition: Int64, values: JSONObject) {
    (self.type, self.definition, self.values) = (type, definition, values)
  }

  /// The members of a row and of an event.
  public func writeMembers(_ writer: inout JSONWriter) {
    writer.member("type", type)
    writer.member("type_version", definition)
    writer.member("fields", .object(values))
  }

  /// Reads the members of a row or of an event; nil: there is no type.
  static func read(_ fields: inout JSONFields) throws(JSONError) -> CustomFields? {
    guard let type = try fields.optional("type", as: String.self) else { return nil }
    return CustomFields(
      type: type, definition: try fields.required("type_version"),
      values: sorted(try fields.optional("fields", as: JSONValue.self)?.object?.members ?? []))
  }

  static func sorted(_ members: [JSONObject.Member]) -> JSONObject {
    JSONObject(members.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) })
  }
}

/// Why a value is none for a document's field.
public struct FieldProblem: Error, Equatable, Sendable, CustomStringConvertible {
  public let name: String
  public let description: String
}

/// A change of a document's own fields, and the definition by which it is checked.
public struct FieldsChange: Equatable, Sendable {
  public let definition: DocumentType
  /// The document gets the type of the definition; otherwise it has to have it already.
  public let setsType: Bool
  /// null takes a value away.
  public let values: JSONObject

  public init(by definition: DocumentType, setsType: Bool, _ values: JSONObject) {
    (self.definition, self.setsType, self.values) = (definition, setsType, values)
  }

  /// The values in the form in which they are kept; nil takes one away.
  public func checked() throws(FieldProblem) -> [(name: String, value: JSONValue?)] {
    var checked: [(name: String, value: JSONValue?)] = []
    for member in values.members {
      // Also one that the newest definition does not have any more.
      if member.value == .null, definition.kinds[member.name] != nil {
        checked.append((member.name, nil))
        continue
      }
      guard let field = definition.field(member.name) else {
        throw FieldProblem(
          name: member.name,
          description:
            "documents of the type \(definition.name) have no such field; they have \(definition.fields.map(\.name).joined(separator: ", "))"
        )
      }
      guard let value = field.kind.checked(member.value, options: field.options) else {
        throw FieldProblem(
          name: member.name,
          description:
            "“\(member.value.description.prefix(80))” is not possible here: send \(field.kind.form(options: field.options))"
        )
      }
      checked.append((member.name, value))
    }
    return checked
  }

  /// The fields afterwards. Values stay that are not named; with another type those stay that it knows too.
  public func applied(to old: CustomFields?) throws(FieldProblem) -> CustomFields {
    var kept: [String: JSONValue] = [:]
    for member in old?.values.members ?? [] {
      guard old?.type != definition.name else {
        // A newer definition may not know it any more: it stays until somebody takes it away.
        kept[member.name] = member.value
        continue
      }
      guard let field = definition.field(member.name) else { continue }
      kept[member.name] = field.kind.checked(member.value, options: field.options)
    }
    for (name, value) in try checked() { kept[name] = value }
    for field in definition.fields where field.isRequired && kept[field.name] == nil {
      throw FieldProblem(
        name: field.name,
        description: "documents of the type \(definition.name) need it: send \(field.kind.form(options: field.options))"
      )
    }
    let sorted = CustomFields.sorted(kept.map { JSONObject.Member(name: $0.key, value: $0.value) })
    guard JSONValue.object(sorted).bytes.count <= CustomFields.maximum else {
      throw FieldProblem(
        name: "", description: "all values together have at most \(CustomFields.maximum) bytes of JSON")
    }
    return CustomFields(type: definition.name, definition: definition.definition, values: sorted)
  }
}
