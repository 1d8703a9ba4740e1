public import Events
public import Identifiers
public import JSON
public import Time

/// An event of somebody's saved searches.
public enum SearchListEvent: DomainEvent, Equatable {
  case saved(id: UUID, name: String, query: JSONObject, owner: String, reader: StandingRights, at: Time.Timestamp)
  case removed(id: UUID, at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension SearchListEvent {
  public var type: String {
    switch self {
    case .saved: "SearchSaved"
    case .removed: "SearchRemoved"
    }
  }

  public static let schemaVersions: [String: Int32] = ["SearchSaved": 1, "SearchRemoved": 1]

  public static let personalFields: [String: [String]] = ["SearchSaved": ["name", "query", "owner", "reader"]]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      switch self {
      case .saved(let id, let name, let query, let owner, let reader, let at):
        writer.member("id", id.description)
        writer.member("name", name)
        writer.member("query", .object(query))
        writer.member("owner", owner)
        writer.name("reader")
        reader.write(&writer)
        writer.member("at", at.description)
      case .removed(let id, let at):
        writer.member("id", id.description)
        writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    let at = try fields.required("at", as: Time.Timestamp.self)
    switch type {
    case "SearchSaved":
      self = .saved(
        id: try fields.required("id"), name: try fields.required("name"),
        query: try fields.optional("query", as: JSONValue.self)?.object ?? JSONObject(),
        owner: try fields.required("owner"), reader: try fields.required("reader"), at: at)
    case "SearchRemoved": self = .removed(id: try fields.required("id"), at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of saved searches has this type"))
    }
  }
}
