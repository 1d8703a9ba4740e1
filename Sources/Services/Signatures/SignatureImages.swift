import Crypto
import Domain
import EventStore
import HTTPServer
import Identifiers
import MediaType
import Reactor
import S3

/// The drawn signatures in the object store: `signatures/<day>/<document>/<SHA-256 of the bytes>`. Storing an image again on the
/// same day changes nothing.
struct SignatureImages: Sendable {
  let objects: S3Client
  let detector: MediaTypeDetector
  /// Largest image, in bytes.
  let maximum: Int
  /// Refuse what is no PNG, JPEG or SVG.
  let mustBeImage: Bool

  static let prefix = "signatures"
  static let types = ["image/png", "image/jpeg", "image/svg+xml"]

  /// What the signatures of documents name.
  static func contents(_ store: EventStore) -> StoredContents {
    let list = SignatureList(store)
    return StoredContents(prefix: prefix) { try await list.imageKeys(on: $0) }
  }

  /// What would be stored. Nothing is written.
  func examine(_ bytes: [UInt8], of document: UUID) async throws -> SignatureImage {
    guard bytes.count <= maximum else {
      throw Problem(
        413, "Content too large", detail: "a signature's image has at most \(maximum) bytes", field: "/signature_data")
    }
    let (type, hash) = await Reactor.offLoop { [detector] in
      (String(detector.detect(bytes).prefix { $0 != ";" }), SHA256.hash(bytes).hexadecimal)
    }
    let isImage = Self.types.contains(type)
    guard isImage || !mustBeImage else {
      throw Problem(
        422, "Invalid body", detail: "signature_data is no PNG, JPEG or SVG, but \(type)", field: "/signature_data")
    }
    return SignatureImage(
      key: StoredContents.key(Self.prefix, of: document.description, name: hash),
      type: isImage ? type : "application/octet-stream",
      size: Int64(bytes.count),
      hash: hash)
  }

  func store(_ bytes: [UInt8], as image: SignatureImage) async throws {
    try await objects.put(image.key, bytes, contentType: image.type)
  }
}
