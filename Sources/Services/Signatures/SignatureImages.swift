import Crypto
import Domain
import HTTPServer
import Identifiers
import MediaType
import Reactor
import S3

/// The drawn signatures in the object store: `signatures/<document>/<SHA-256 of the bytes>`. The same image has the same key,
/// so storing one again changes nothing.
struct SignatureImages: Sendable {
  let objects: S3Client
  let detector: MediaTypeDetector
  /// Largest image, in bytes.
  let maximum: Int
  /// Refuse what is no PNG, JPEG or SVG.
  let mustBeImage: Bool

  static let types = ["image/png", "image/jpeg", "image/svg+xml"]

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
      key: "signatures/\(document)/\(hash)", type: isImage ? type : "application/octet-stream",
      size: Int64(bytes.count),
      hash: hash)
  }

  func store(_ bytes: [UInt8], as image: SignatureImage) async throws {
    try await objects.put(image.key, bytes, contentType: image.type)
  }
}
