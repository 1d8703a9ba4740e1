import Crypto
public import Identifiers
public import Time

/// An event as it is sealed: the bytes that a proof is about.
///
/// They are the canonical JSON (RFC 8785) of the event's fields; `data` and `metadata` are there by the SHA-256 of their
/// stored bytes. Version 1 of the form:
/// `{"data":"<hex>","id":"<uuid>","metadata":"<hex>","recorded_at":"2026-11-21T13:20:38.123456Z","schema":1,"stream":"…","type":"…","v":1,"version":1}`.
public struct Entry: Sendable {
  public let bytes: [UInt8]

  /// - Parameters:
  ///   - data: The stored bytes.
  ///   - metadata: The stored bytes.
  public init(
    stream: StreamID, version: StreamVersion, id: UUID, type: String, schemaVersion: Int32, data: [UInt8],
    metadata: [UInt8], recordedAt: Time.Timestamp
  ) {
    var text: [UInt8] = []
    text.reserveCapacity(360)
    // The members in the order of their names, as RFC 8785 sorts them.
    text += #"{"data":""#.utf8
    text += SHA256.hash(data).hexadecimal.utf8
    text += #"","id":""#.utf8
    text += id.description.utf8
    text += #"","metadata":""#.utf8
    text += SHA256.hash(metadata).hexadecimal.utf8
    text += #"","recorded_at":""#.utf8
    text += recordedAt.description.utf8
    text += #"","schema":"#.utf8
    text += "\(schemaVersion)".utf8
    text += #","stream":"#.utf8
    Self.write(stream.description, &text)
    text += #","type":"#.utf8
    Self.write(type, &text)
    text += #","v":1,"version":"#.utf8
    text += "\(version)".utf8
    text.append(UInt8(ascii: "}"))
    bytes = text
  }

  /// RFC 8785, section 3.2.2.2: the short escapes where JSON has them, `\u00xx` in lower case for other control characters.
  private static func write(_ string: String, _ text: inout [UInt8]) {
    text.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case 0x08: text += #"\b"#.utf8
      case 0x09: text += #"\t"#.utf8
      case 0x0A: text += #"\n"#.utf8
      case 0x0C: text += #"\f"#.utf8
      case 0x0D: text += #"\r"#.utf8
      case UInt8(ascii: "\""): text += #"\""#.utf8
      case UInt8(ascii: "\\"): text += #"\\"#.utf8
      case 0..<0x20: text += "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
      default: text.append(byte)
      }
    }
    text.append(UInt8(ascii: "\""))
  }
}

extension RecordedEvent {
  public var entry: Entry {
    Entry(
      stream: stream, version: version, id: id, type: type, schemaVersion: schemaVersion, data: data,
      metadata: storedMetadata, recordedAt: recordedAt)
  }
}
