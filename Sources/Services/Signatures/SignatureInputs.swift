import Base64
import Domain
import HTTPServer
import Identifiers
import JSON

/// Inputs of the routes of signatures.
enum SignatureInputs {
  static let document = Input<UUID>(path: "id", "The document's id.")
  static let documentID = Input<UUID>(field: "document_id", "The document that is signed.")
  static let email = Input<String>(
    field: "signer_email", schema: .string(format: "email", maxLength: 254),
    "Who signs. Without a token and X-Actor, the actor of the events too.")
  static let name = Input<String>(
    field: "signer_name", schema: .string(minLength: 1, maxLength: Signature.maximumName), "The signer's name.")
  static let data = Input<ImageData>(
    field: "signature_data",
    "The drawn signature: base64 in either alphabet, padded or not, or a data URL. Bytes that are no image are kept as they are."
  )
  static let session = Input<UUID?>(
    optional: "session_id",
    "The signing session that is signed in: it must be named while one is open, and be that one.")
  static let consent = Input<Bool?>(
    optional: "consent", "In a signing session: that the signer agrees to its consent's text. It must be true.")
  static let method = Input<String?>(
    optional: "method", schema: .string(pattern: "^[a-z][a-z0-9_-]{0,39}$"),
    "In a signing session: how it is signed, drawn or typed, say. Without it, drawn for an image, else typed.")
  static let status = Input<StatusAfterwards?>(
    optional: "document_status", "Has no effect: the document is signed afterwards.")

  /// Some callers name the document's status; both values mean the same.
  enum StatusAfterwards: String, CaseIterable, InputValue {
    case pending, signed

    static var schema: JSONSchema { .string(values: allCases.map(\.rawValue)) }

    init(json: JSONValue) throws(JSONError) {
      let text = try String(json: json)
      guard let value = Self(rawValue: text) else {
        throw JSONError(.invalid(String(text.prefix(80)), remedy: "one of pending, signed"))
      }
      self = value
    }
  }
}

/// Bytes in base64 (RFC 4648, section 4 or 5), padded or not, with or without the beginning of a data URL. The last digit's
/// bits that no byte has are ignored, whatever they are.
struct ImageData: InputValue {
  let bytes: [UInt8]

  static let schema = JSONSchema.string(minLength: 1)

  init(json: JSONValue) throws(JSONError) {
    var text = try String(json: json)[...]
    if text.hasPrefix("data:") {
      guard let comma = text.utf8.firstIndex(of: UInt8(ascii: ",")), text[..<comma].hasSuffix(";base64") else {
        throw JSONError(.invalid(String(text.prefix(40)), remedy: "a data URL looks like data:image/png;base64,…"))
      }
      text = text[text.utf8.index(after: comma)...]
    }
    guard let bytes = Base64.decodeLeniently(text.utf8), !bytes.isEmpty else {
      throw JSONError(.invalid(String(text.prefix(40)), remedy: "base64 is expected, of one byte or more"))
    }
    self.bytes = bytes
  }
}
