public import Events
public import Identifiers
public import JSON
public import Time

/// An event of a signature.
public enum SignatureEvent: DomainEvent, Equatable {
  case given(
    id: UUID, document: UUID, email: String, name: String, image: SignatureImage, signed: SignedDocument,
    consent: SignatureConsent? = nil, at: Time.Timestamp)
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension SignatureEvent {
  public var type: String { "SignatureGiven" }

  public static let schemaVersions: [String: Int32] = ["SignatureGiven": 1]

  public static let personalFields: [String: [String]] = ["SignatureGiven": ["signer_email", "signer_name"]]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      switch self {
      case .given(let id, let document, let email, let name, let image, let signed, let consent, let at):
        writer.member("id", id.description)
        writer.member("document_id", document.description)
        writer.member("signer_email", email)
        writer.member("signer_name", name)
        writer.name("image")
        writer.object {
          $0.member("key", image.key)
          $0.member("type", image.type)
          $0.member("size", image.size)
          $0.member("sha256", image.hash)
        }
        writer.member("document_version", signed.version.value)
        writer.member("document_sha256", orNull: signed.contentHash)
        if let consent {
          writer.name("consent")
          writer.object {
            $0.member("session", consent.session.description)
            $0.member("sha256", consent.textHash)
            $0.member("method", consent.method)
          }
        }
        writer.member("at", at.description)
      }
    }
    return writer.bytes
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    guard type == "SignatureGiven" else {
      throw JSONError(.invalid(type, remedy: "no event of a signature has this type"))
    }
    self = .given(
      id: try fields.required("id"), document: try fields.required("document_id"),
      email: try fields.required("signer_email"), name: try fields.required("signer_name"),
      image: try fields.required("image"),
      signed: SignedDocument(
        contentHash: try fields.optional("document_sha256"),
        version: StreamVersion(try fields.required("document_version"))),
      consent: try fields.optional("consent"), at: try fields.required("at"))
  }
}

extension SignatureConsent: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    self.init(
      session: try fields.required("session"), textHash: try fields.required("sha256"),
      method: try fields.required("method"))
  }
}

extension SignatureImage: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    self.init(
      key: try fields.required("key"), type: try fields.required("type"), size: try fields.required("size"),
      hash: try fields.required("sha256"))
  }
}
