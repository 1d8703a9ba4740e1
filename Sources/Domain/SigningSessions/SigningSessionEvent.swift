public import Events
public import Identifiers
public import JSON
public import Time

/// An event of a session.
public enum SigningSessionEvent: DomainEvent, Equatable {
  case opened(
    id: UUID, document: UUID, shown: SignedDocument, order: SigningSession.Order, participants: [Participant],
    consent: String, consentHash: String, expires: Time.Timestamp?, reminderInterval: Duration?, wantsSeal: Bool,
    by: String, at: Time.Timestamp)
  case signed(email: String, signature: UUID, at: Time.Timestamp)
  case approved(email: String, at: Time.Timestamp)
  /// Those whose turn it was.
  case reminded([String], at: Time.Timestamp)
  case completed(at: Time.Timestamp)
  case declined(email: String, reason: String, at: Time.Timestamp)
  case cancelled(reason: String?, at: Time.Timestamp)
  case expired(at: Time.Timestamp)
  case sealed(SessionSeal, at: Time.Timestamp)
  case sealFailed(reason: String, at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension SigningSessionEvent {
  public var type: String {
    switch self {
    case .opened: "SigningSessionOpened"
    case .signed: "SigningSessionSigned"
    case .approved: "SigningSessionApproved"
    case .reminded: "SigningSessionReminded"
    case .completed: "SigningSessionCompleted"
    case .declined: "SigningSessionDeclined"
    case .cancelled: "SigningSessionCancelled"
    case .expired: "SigningSessionExpired"
    case .sealed: "SigningSessionSealed"
    case .sealFailed: "SigningSessionSealFailed"
    }
  }

  public static let schemaVersions: [String: Int32] = [
    "SigningSessionOpened": 1, "SigningSessionSigned": 1, "SigningSessionApproved": 1, "SigningSessionReminded": 1,
    "SigningSessionCompleted": 1, "SigningSessionDeclined": 1, "SigningSessionCancelled": 1, "SigningSessionExpired": 1,
    "SigningSessionSealed": 1, "SigningSessionSealFailed": 1,
  ]

  public static let personalFields: [String: [String]] = [
    "SigningSessionOpened": ["participants", "created_by"], "SigningSessionSigned": ["email"],
    "SigningSessionApproved": ["email"], "SigningSessionReminded": ["emails"],
    "SigningSessionDeclined": ["email", "reason"], "SigningSessionCancelled": ["reason"],
  ]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      switch self {
      case .opened(
        let id, let document, let shown, let order, let participants, let consent, let consentHash, let expires,
        let reminderInterval, let wantsSeal, let by, let at):
        writer.member("id", id.description)
        writer.member("document_id", document.description)
        writer.member("document_version", shown.version.value)
        if let hash = shown.contentHash { writer.member("document_sha256", hash) }
        writer.member("order", order.rawValue)
        writer.objects("participants", of: participants) { writer, participant in
          writer.member("email", participant.email)
          writer.member("name", participant.name)
          writer.member("role", participant.role.rawValue)
        }
        writer.member("consent", consent)
        writer.member("consent_sha256", consentHash)
        if let expires { writer.member("expires_at", expires.description) }
        if let reminderInterval { writer.member("remind_every_seconds", reminderInterval.components.seconds) }
        if wantsSeal { writer.member("seal", true) }
        writer.member("created_by", by)
        writer.member("at", at.description)
      case .signed(let email, let signature, let at):
        writer.member("email", email)
        writer.member("signature", signature.description)
        writer.member("at", at.description)
      case .approved(let email, let at):
        writer.member("email", email)
        writer.member("at", at.description)
      case .reminded(let emails, let at):
        writer.member("emails", emails)
        writer.member("at", at.description)
      case .completed(let at), .expired(let at): writer.member("at", at.description)
      case .declined(let email, let reason, let at):
        writer.member("email", email)
        writer.member("reason", reason)
        writer.member("at", at.description)
      case .sealed(let seal, let at):
        writer.name("content")
        seal.content.write(&writer)
        writer.member("level", seal.level.rawValue)
        writer.member("certificate_sha256", seal.certificateHash)
        writer.member("at", at.description)
      case .sealFailed(let reason, let at):
        writer.member("reason", reason)
        writer.member("at", at.description)
      case .cancelled(let reason, let at):
        if let reason { writer.member("reason", reason) }
        writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    let at = try fields.required("at", as: Time.Timestamp.self)
    switch type {
    case "SigningSessionOpened":
      let seconds = try fields.optional("remind_every_seconds", as: Int64.self)
      var participants: [Participant] = []
      for value in try fields.required("participants", as: JSONValue.self).array ?? [] {
        participants.append(try Participant(json: value))
      }
      self = .opened(
        id: try fields.required("id"), document: try fields.required("document_id"),
        shown: SignedDocument(
          contentHash: try fields.optional("document_sha256"),
          version: StreamVersion(try fields.required("document_version"))),
        order: try fields.required("order"), participants: participants, consent: try fields.required("consent"),
        consentHash: try fields.required("consent_sha256"), expires: try fields.optional("expires_at"),
        reminderInterval: seconds.map { .seconds($0) }, wantsSeal: try fields.optional("seal") ?? false,
        by: try fields.required("created_by"), at: at)
    case "SigningSessionSigned":
      self = .signed(email: try fields.required("email"), signature: try fields.required("signature"), at: at)
    case "SigningSessionApproved": self = .approved(email: try fields.required("email"), at: at)
    case "SigningSessionReminded":
      self = .reminded((try fields.required("emails", as: JSONValue.self).array ?? []).compactMap(\.string), at: at)
    case "SigningSessionCompleted": self = .completed(at: at)
    case "SigningSessionDeclined":
      self = .declined(email: try fields.required("email"), reason: try fields.required("reason"), at: at)
    case "SigningSessionCancelled": self = .cancelled(reason: try fields.optional("reason"), at: at)
    case "SigningSessionSealed":
      let level = try fields.required("level", as: String.self)
      guard let known = SessionSeal.Level(rawValue: level) else { throw JSONError(.invalid(level, remedy: "B-B, B-T")) }
      self = .sealed(
        SessionSeal(
          content: try fields.required("content"), level: known,
          certificateHash: try fields.required("certificate_sha256")), at: at)
    case "SigningSessionSealFailed": self = .sealFailed(reason: try fields.required("reason"), at: at)
    case "SigningSessionExpired": self = .expired(at: at)
    default: throw JSONError(.invalid(type, remedy: "no event of a signing session has this type"))
    }
  }
}

extension SigningSession.Order: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    guard let order = Self(rawValue: text) else {
      throw JSONError(.invalid(String(text.prefix(80)), remedy: "sequence or parallel"))
    }
    self = order
  }
}

extension Participant: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    try self.init(&fields)
  }

  /// Reads the members that it knows.
  public init(_ fields: inout JSONFields) throws(JSONError) {
    let text = try fields.optional("role", as: String.self) ?? Role.signer.rawValue
    guard let role = Role(rawValue: text) else {
      throw JSONError(.invalid(String(text.prefix(80)), remedy: "signer, approver or viewer"))
    }
    self.init(email: try fields.required("email"), name: try fields.required("name"), role: role)
  }
}
