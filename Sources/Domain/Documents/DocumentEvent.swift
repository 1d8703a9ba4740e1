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
  /// Replaces what was shared with the same grantee before.
  case shared(Share, at: Time.Timestamp)
  case unshared(Grantee, at: Time.Timestamp)
  /// All tags that it has from now on.
  case tagged([String], at: Time.Timestamp)
  /// Its type and all values of the type's fields from now on; nil: it has no type any more.
  case typed(CustomFields?, at: Time.Timestamp)
  /// nil: the version has no label any more.
  case labelled(StreamVersion, String?, at: Time.Timestamp)
  /// Its content does not change until the session is closed, and its participants have these rights until then.
  case signingOpened(session: UUID, [Share], at: Time.Timestamp)
  case signingClosed(session: UUID, at: Time.Timestamp)
  /// A link shows one of its versions to whoever has it.
  case linked(link: UUID, version: StreamVersion, at: Time.Timestamp)
  case unlinked(link: UUID, at: Time.Timestamp)
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
    case .shared: "DocumentShared"
    case .unshared: "DocumentUnshared"
    case .tagged: "DocumentTagged"
    case .typed: "DocumentFieldsSet"
    case .labelled: "DocumentVersionLabelled"
    case .signingOpened: "DocumentSigningOpened"
    case .signingClosed: "DocumentSigningClosed"
    case .linked: "DocumentLinked"
    case .unlinked: "DocumentUnlinked"
    case .deleted: "DocumentDeleted"
    }
  }

  public static let schemaVersions: [String: Int32] = [
    "DocumentCreated": 1, "DocumentRetitled": 1, "DocumentContentReplaced": 1, "DocumentStatusChanged": 1,
    "DocumentSigned": 1, "DocumentShared": 1, "DocumentUnshared": 1, "DocumentVersionLabelled": 1, "DocumentTagged": 1,
    "DocumentSigningOpened": 1, "DocumentSigningClosed": 1, "DocumentLinked": 1, "DocumentUnlinked": 1,
    "DocumentFieldsSet": 1, "DocumentDeleted": 1,
  ]

  public static let personalFields: [String: [String]] = [
    "DocumentCreated": ["created_by"], "DocumentShared": ["name"], "DocumentUnshared": ["name"],
    "DocumentSigningOpened": ["participants"], "DocumentFieldsSet": ["fields"],
  ]

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
      case .shared(let share, let at):
        write(share.with, &writer)
        share.writeTerms(&writer)
        writer.member("at", at.description)
      case .unshared(let grantee, let at):
        write(grantee, &writer)
        writer.member("at", at.description)
      case .tagged(let tags, let at):
        writer.member("tags", tags)
        writer.member("at", at.description)
      case .typed(let custom, let at):
        custom?.writeMembers(&writer)
        writer.member("at", at.description)
      case .labelled(let version, let label, let at):
        writer.member("version", version.value)
        writer.member("label", orNull: label)
        writer.member("at", at.description)
      case .signingOpened(let session, let participants, let at):
        writer.member("session", session.description)
        writer.array("participants", of: participants) { $1.write(&$0) }
        writer.member("at", at.description)
      case .signingClosed(let session, let at):
        writer.member("session", session.description)
        writer.member("at", at.description)
      case .linked(let link, let version, let at):
        writer.member("link", link.description)
        writer.member("version", version.value)
        writer.member("at", at.description)
      case .unlinked(let link, let at):
        writer.member("link", link.description)
        writer.member("at", at.description)
      case .deleted(let at): writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  /// The name alone is personal: what is left of it once it is erased still has a kind.
  private func write(_ grantee: Grantee, _ writer: inout JSONWriter) {
    writer.member("kind", grantee.kind.rawValue)
    writer.member("name", grantee.name)
  }

  private static func grantee(_ fields: inout JSONFields) throws(JSONError) -> Grantee {
    let kind = try fields.required("kind", as: String.self)
    guard let known = Grantee.Kind(rawValue: kind) else { throw JSONError(.invalid(kind, remedy: "user or group")) }
    return Grantee(known, try fields.required("name"))
  }

  private func write(_ content: DocumentContent, _ writer: inout JSONWriter) {
    writer.name("content")
    content.write(&writer)
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
    case "DocumentShared": self = .shared(try Share(with: Self.grantee(&fields), &fields), at: at)
    case "DocumentUnshared": self = .unshared(try Self.grantee(&fields), at: at)
    case "DocumentTagged":
      self = .tagged((try fields.required("tags", as: JSONValue.self).array ?? []).compactMap(\.string), at: at)
    case "DocumentFieldsSet": self = .typed(try CustomFields.read(&fields), at: at)
    case "DocumentVersionLabelled":
      self = .labelled(StreamVersion(try fields.required("version")), try fields.optional("label"), at: at)
    case "DocumentSigningOpened":
      var shares: [Share] = []
      for value in try fields.required("participants", as: JSONValue.self).array ?? [] {
        shares.append(try Share(json: value))
      }
      self = .signingOpened(session: try fields.required("session"), shares, at: at)
    case "DocumentSigningClosed": self = .signingClosed(session: try fields.required("session"), at: at)
    case "DocumentLinked":
      self = .linked(
        link: try fields.required("link"), version: StreamVersion(try fields.required("version")), at: at)
    case "DocumentUnlinked": self = .unlinked(link: try fields.required("link"), at: at)
    case "DocumentDeleted": self = .deleted(at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of a document has this type"))
    }
  }
}

extension DocumentContent: JSONReadable {
  func write(_ writer: inout JSONWriter) {
    writer.object {
      $0.member("type", type)
      $0.member("size", size)
      $0.member("key", key)
      $0.member("sha256", hash)
    }
  }

  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    self.init(
      type: try fields.required("type"), size: try fields.required("size"), key: try fields.required("key"),
      hash: try fields.required("sha256"))
  }
}
