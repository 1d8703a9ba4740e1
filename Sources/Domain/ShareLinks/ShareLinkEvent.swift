public import Events
public import Identifiers
public import JSON
public import Time

/// An event of a link.
public enum ShareLinkEvent: DomainEvent, Equatable {
  case created(
    id: UUID, document: UUID, shown: StreamVersion, secretHash: String, password: LinkPassword?,
    expires: Time.Timestamp?, maximumUses: Int64, by: String, at: Time.Timestamp)
  /// `what`: `document` or `content`; `address`: the client's.
  case used(what: String, address: String, at: Time.Timestamp)
  case revoked(at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension ShareLinkEvent {
  public var type: String {
    switch self {
    case .created: "ShareLinkCreated"
    case .used: "ShareLinkUsed"
    case .revoked: "ShareLinkRevoked"
    }
  }

  public static let schemaVersions: [String: Int32] = [
    "ShareLinkCreated": 1, "ShareLinkUsed": 1, "ShareLinkRevoked": 1,
  ]

  public static let personalFields: [String: [String]] = [
    "ShareLinkCreated": ["created_by"], "ShareLinkUsed": ["address"],
  ]

  public static let secretFields: [String: [String]] = ["ShareLinkCreated": ["password", "secret_sha256"]]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 256)
    writer.object { writer in
      switch self {
      case .created(
        let id, let document, let shown, let secret, let password, let expires, let uses, let by, let at):
        writer.member("id", id.description)
        writer.member("document_id", document.description)
        writer.member("document_version", shown.value)
        writer.member("secret_sha256", secret)
        if let password {
          writer.name("password")
          writer.object {
            $0.member("salt", password.salt)
            $0.member("scrypt", password.hash)
          }
        }
        if let expires { writer.member("expires_at", expires.description) }
        writer.member("maximum_uses", uses)
        writer.member("created_by", by)
        writer.member("at", at.description)
      case .used(let what, let address, let at):
        writer.member("what", what)
        writer.member("address", address)
        writer.member("at", at.description)
      case .revoked(let at): writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    let at = try fields.required("at", as: Time.Timestamp.self)
    switch type {
    case "ShareLinkCreated":
      self = .created(
        id: try fields.required("id"), document: try fields.required("document_id"),
        shown: StreamVersion(try fields.required("document_version")), secretHash: try fields.required("secret_sha256"),
        password: try fields.optional("password"), expires: try fields.optional("expires_at"),
        maximumUses: try fields.required("maximum_uses"), by: try fields.required("created_by"), at: at)
    case "ShareLinkUsed":
      self = .used(what: try fields.required("what"), address: try fields.required("address"), at: at)
    case "ShareLinkRevoked": self = .revoked(at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of a link has this type"))
    }
  }
}

extension LinkPassword: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    self.init(salt: try fields.required("salt"), hash: try fields.required("scrypt"))
  }
}

extension ShareLink: JSONReadable {
  /// Reads a kept state.
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    self.init(
      id: try fields.required("id"), documentID: try fields.required("document_id"),
      shown: StreamVersion(try fields.required("document_version")), secretHash: try fields.required("secret_sha256"),
      password: try fields.optional("password"), expires: try fields.optional("expires_at"),
      maximumUses: try fields.required("maximum_uses"), createdBy: try fields.required("created_by"),
      createdAt: try fields.required("created_at"), uses: try fields.required("uses"),
      lastUsedAt: try fields.optional("last_used_at"), revokedAt: try fields.optional("revoked_at"),
      version: StreamVersion(try fields.required("version")))
  }

  /// A state to be kept: what the row has, and what the row does not tell.
  public var kept: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object {
      $0.spliceMembers(of: rowImage)
      $0.member("secret_sha256", secretHash)
      if let password {
        $0.name("password")
        $0.object {
          $0.member("salt", password.salt)
          $0.member("scrypt", password.hash)
        }
      }
    }
    return writer.bytes
  }
}
