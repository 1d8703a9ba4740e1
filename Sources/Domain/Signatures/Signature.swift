public import Events
public import Identifiers
import JSON
public import Time

/// A signature of one person on one document, as its events have made it.
public struct Signature: Equatable, Sendable {
  public let id: UUID
  public let documentID: UUID
  public let signerEmail: String
  public let signerName: String
  public let image: SignatureImage
  /// What was signed.
  public let signed: SignedDocument
  public let createdAt: Time.Timestamp
  /// Under which session it was given, to what its giver agreed, and how; nil: outside a session.
  public let consent: SignatureConsent?
  /// The stream's.
  public internal(set) var version: StreamVersion

  /// Maximum length of a name, in bytes of UTF-8.
  public static let maximumName = 200
}

/// The document as it was signed.
public struct SignedDocument: Equatable, Sendable {
  /// SHA-256 of the content, in hexadecimal digits; nil if the document had none.
  public let contentHash: String?
  public let version: StreamVersion

  public init(contentHash: String?, version: StreamVersion) {
    (self.contentHash, self.version) = (contentHash, version)
  }
}

/// What a signer agreed to in a session.
public struct SignatureConsent: Equatable, Sendable {
  public let session: UUID
  /// SHA-256 of the consent's text, in hexadecimal digits.
  public let textHash: String
  /// How he signed: `drawn`, `typed`, ….
  public let method: String

  public init(session: UUID, textHash: String, method: String) {
    (self.session, self.textHash, self.method) = (session, textHash, method)
  }
}

/// The drawn signature, and its place in the object store.
public struct SignatureImage: Equatable, Sendable {
  public let key: String
  /// The media type; `application/octet-stream` for bytes that are no image.
  public let type: String
  /// In bytes.
  public let size: Int64
  /// SHA-256 of the bytes, in hexadecimal digits.
  public let hash: String

  public init(key: String, type: String, size: Int64, hash: String) {
    (self.key, self.type, self.size, self.hash) = (key, type, size, hash)
  }

  public var isImage: Bool { type.hasPrefix("image/") }
}

extension Signature {
  /// The row image: the form of a signature in change events, views and answers. The order of the fields is fixed.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object {
      $0.member("id", id.description)
      $0.member("document_id", documentID.description)
      $0.member("signer_email", signerEmail)
      $0.member("signer_name", signerName)
      $0.member("s3_key", image.key)
      $0.member("image", image.isImage)
      $0.member("content_type", image.type)
      $0.member("content_size", image.size)
      $0.member("signature_sha256", image.hash)
      $0.member("status", "signed")
      $0.member("document_version", signed.version.value)
      $0.member("document_sha256", orNull: signed.contentHash)
      if let consent {
        $0.member("session_id", consent.session.description)
        $0.member("consent_sha256", consent.textHash)
        $0.member("method", consent.method)
      }
      $0.member("created_at", createdAt.description)
      $0.member("version", version.value)
    }
    return writer.bytes
  }
}
