public import Events
public import JSON
public import Time

/// An event of a type of documents.
public enum DocumentTypeEvent: DomainEvent, Equatable {
  case defined(name: String, title: String, fields: [FieldDefinition], at: Time.Timestamp)
  case retired(at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension DocumentTypeEvent {
  public var type: String {
    switch self {
    case .defined: "DocumentTypeDefined"
    case .retired: "DocumentTypeRetired"
    }
  }

  public static let schemaVersions: [String: Int32] = ["DocumentTypeDefined": 1, "DocumentTypeRetired": 1]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      switch self {
      case .defined(let name, let title, let fields, let at):
        writer.member("name", name)
        writer.member("title", title)
        FieldDefinition.write(fields, &writer)
        writer.member("at", at.description)
      case .retired(let at): writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    let at = try fields.required("at", as: Time.Timestamp.self)
    switch type {
    case "DocumentTypeDefined":
      var definitions: [FieldDefinition] = []
      for value in try fields.required("fields", as: JSONValue.self).array ?? [] {
        definitions.append(try FieldDefinition(json: value))
      }
      self = .defined(
        name: try fields.required("name"), title: try fields.required("title"), fields: definitions, at: at)
    case "DocumentTypeRetired": self = .retired(at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of a type of documents has this type"))
    }
  }
}
