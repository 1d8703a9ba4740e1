public import Events
public import JSON
public import Time
public import Identifiers

/// An event of a document.
public enum DocumentEvent: DomainEvent, Equatable {
  case created(id: UUID, title: String, content: DocumentContent?, by: String, at: Time.Timestamp)
  case retitled(title: String, at: Time.Timestamp)
  case contentReplaced(DocumentContent, at: Time.Timestamp)
  case statusChanged(from: DocumentStatus, to: DocumentStatus, at: Time.Timestamp)
  /// The document is signed afterwards.
  case signed(signature: UUID, from: DocumentStatus, at: Time.Timestamp)
  case deleted(at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension DocumentEvent {
  public var type: String {
    switch self {
    case .created: "DocumentCreated"
    case .retitled: "DocumentRetitled"
    case .contentReplaced: "DocumentContentReplaced"
    case .statusChanged: "DocumentStatusChanged"
    case .signed: "DocumentSigned"
    case .deleted: "DocumentDeleted"
    }
  }

  public static let schemaVersions: [String: Int32] = [
    "DocumentCreated": 1, "DocumentRetitled": 1, "DocumentContentReplaced": 1, "DocumentStatusChanged": 1,
    "DocumentSigned": 1, "DocumentDeleted": 1,
  ]

  public static let personalFields: [String: [String]] = ["DocumentCreated": ["created_by"]]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 256)
    writer.object { writer in
      switch self {
      case .created(let id, let title, let content, let by, let at):
        writer.member("id", id.description)
        writer.member("title", title)
        if let content { write(content, &writer) }
        writer.member("created_by", by)
        writer.member("at", at.description)
      case .retitled(let title, let at):
        writer.member("title", title)
        writer.member("at", at.description)
      case .contentReplaced(let content, let at):
        write(content, &writer)
        writer.member("at", at.description)
      case .statusChanged(let from, let to, let at):
        writer.member("from", from.rawValue)
        writer.member("to", to.rawValue)
        writer.member("at", at.description)
      case .signed(let signature, let from, let at):
        writer.member("signature", signature.description)
        writer.member("from", from.rawValue)
        writer.member("at", at.description)
      case .deleted(let at): writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  private func write(_ content: DocumentContent, _ writer: inout JSONWriter) {
    writer.name("content")
    writer.object {
      $0.member("type", content.type)
      $0.member("size", content.size)
      $0.member("key", content.key)
      $0.member("sha256", content.hash)
    }
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    let at = try fields.required("at", as: Time.Timestamp.self)
    switch type {
    case "DocumentCreated":
      self = .created(
        id: try fields.required("id"), title: try fields.required("title"), content: try fields.optional("content"),
        by: try fields.required("created_by"), at: at)
    case "DocumentRetitled": self = .retitled(title: try fields.required("title"), at: at)
    case "DocumentContentReplaced": self = .contentReplaced(try fields.required("content"), at: at)
    case "DocumentStatusChanged":
      self = .statusChanged(from: try fields.required("from"), to: try fields.required("to"), at: at)
    case "DocumentSigned":
      self = .signed(signature: try fields.required("signature"), from: try fields.required("from"), at: at)
    case "DocumentDeleted": self = .deleted(at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of a document has this type"))
    }
  }
}

extension DocumentContent: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    self.init(
      type: try fields.required("type"), size: try fields.required("size"), key: try fields.required("key"),
      hash: try fields.required("sha256"))
  }
}
