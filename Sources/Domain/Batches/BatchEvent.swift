public import Events
public import Identifiers
public import JSON
public import Time

/// An event of a batch.
public enum BatchEvent: DomainEvent, Equatable {
  case started(
    id: UUID, documents: [UUID], change: BatchChange, starter: StandingRights, by: String, at: Time.Timestamp)
  case progressed([BatchResult], at: Time.Timestamp)
  case finished(at: Time.Timestamp)
  case undone(by: UUID, at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension BatchEvent {
  public var type: String {
    switch self {
    // A type of its own: a program that does not know of fields leaves the batch to one that does.
    case .started(_, _, .edit(_, _, _, .some), _, _, _): "BatchOfFieldsStarted"
    case .started: "BatchStarted"
    case .progressed: "BatchProgressed"
    case .finished: "BatchFinished"
    case .undone: "BatchUndone"
    }
  }

  public static let schemaVersions: [String: Int32] = [
    "BatchStarted": 1, "BatchOfFieldsStarted": 1, "BatchProgressed": 1, "BatchFinished": 1, "BatchUndone": 1,
  ]

  public static let personalFields: [String: [String]] = [
    "BatchStarted": ["created_by", "starter"], "BatchOfFieldsStarted": ["created_by", "starter", "fields"],
  ]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 1_024)
    writer.object { writer in
      switch self {
      case .started(let id, let documents, let change, let starter, let by, let at):
        writer.member("id", id.description)
        writer.member("documents", documents.map(\.description))
        switch change {
        case .edit(let status, let add, let remove, let fields):
          if let status { writer.member("status", status.rawValue) }
          if !add.isEmpty { writer.member("add_tags", add) }
          if !remove.isEmpty { writer.member("remove_tags", remove) }
          fields?.writeMembers(&writer)
        case .undo(let other): writer.member("undoes", other.description)
        }
        writer.name("starter")
        starter.write(&writer)
        writer.member("created_by", by)
        writer.member("at", at.description)
      case .progressed(let results, let at):
        writer.array("results", of: results) { $0.splice($1.json) }
        writer.member("at", at.description)
      case .finished(let at): writer.member("at", at.description)
      case .undone(let by, let at):
        writer.member("by", by.description)
        writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  static func texts(_ value: JSONValue?) -> [String] { (value?.array ?? []).compactMap(\.string) }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    let at = try fields.required("at", as: Time.Timestamp.self)
    switch type {
    case "BatchStarted", "BatchOfFieldsStarted":
      let documents = Self.texts(try fields.required("documents", as: JSONValue.self)).compactMap { UUID($0) }
      let change: BatchChange
      if let other = try fields.optional("undoes", as: UUID.self) {
        change = .undo(other)
      } else {
        change = .edit(
          status: try fields.optional("status"), add: Self.texts(try fields.optional("add_tags")),
          remove: Self.texts(try fields.optional("remove_tags")), fields: try BatchFields.read(&fields))
      }
      self = .started(
        id: try fields.required("id"), documents: documents, change: change,
        starter: try fields.required("starter"), by: try fields.required("created_by"),
        at: at)
    case "BatchProgressed":
      var results: [BatchResult] = []
      for value in try fields.required("results", as: JSONValue.self).array ?? [] {
        results.append(try BatchResult(json: value))
      }
      self = .progressed(results, at: at)
    case "BatchFinished": self = .finished(at: at)
    case "BatchUndone": self = .undone(by: try fields.required("by"), at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of a batch has this type"))
    }
  }
}

extension BatchFields {
  func writeMembers(_ writer: inout JSONWriter) {
    writer.member("type", type)
    writer.member("set_type", setsType)
    writer.member("fields", .object(values))
  }

  static func read(_ fields: inout JSONFields) throws(JSONError) -> BatchFields? {
    guard let type = try fields.optional("type", as: String.self) else { return nil }
    return BatchFields(
      type: type, setsType: try fields.optional("set_type") ?? false,
      try fields.optional("fields", as: JSONValue.self)?.object ?? JSONObject())
  }
}

extension BatchResult: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    let version = try fields.optional("version", as: Int64.self)
    self.init(
      document: try fields.required("document"), version: version.map { StreamVersion($0) },
      status: try fields.optional("status"),
      tags: try fields.optional("tags", as: JSONValue.self).map { BatchEvent.texts($0) },
      fields: try fields.optional("fields", as: Int64.self).map { StreamVersion($0) },
      problem: try fields.optional("problem"))
  }

  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 128)
    writer.object { writer in
      writer.member("document", document.description)
      if let version { writer.member("version", version.value) }
      if let status { writer.member("status", status.rawValue) }
      if let tags { writer.member("tags", tags) }
      if let fields { writer.member("fields", fields.value) }
      if let problem { writer.member("problem", problem) }
    }
    return writer.bytes
  }
}
