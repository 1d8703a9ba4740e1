/// Bytes as text in 64 characters (RFC 4648).
public enum Base64 {
  /// Reads either alphabet, padded or not. The last digit's bits that no byte has are ignored, whatever they are.
  ///
  /// - Returns: nil for any other character, and for a number of digits that no bytes have.
  public static func decodeLeniently(_ text: some Sequence<UInt8>) -> [UInt8]? {
    decode(text).map { $0.bytes }
  }

  /// Reads base64url without padding, in the one form that its bytes have (RFC 7515, section 2).
  public static func decodeURL(_ text: some Sequence<UInt8>) -> [UInt8]? {
    guard let (bytes, isCanonical) = decode(text.lazy.map(Self.urlOnly)), isCanonical else { return nil }
    return bytes
  }

  /// A character that no alphabet has, for one that base64url does not have.
  private static func urlOnly(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): 0
    default: byte
    }
  }

  private static func decode(_ text: some Sequence<UInt8>) -> (bytes: [UInt8], isCanonical: Bool)? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.underestimatedCount * 3 / 4)
    var (group, digits, padding) = (UInt32(0), 0, 0)
    for byte in text {
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = byte - UInt8(ascii: "A")
      case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = byte - UInt8(ascii: "a") + 26
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0") + 52
      case UInt8(ascii: "+"), UInt8(ascii: "-"): digit = 62
      case UInt8(ascii: "/"), UInt8(ascii: "_"): digit = 63
      case UInt8(ascii: "="):
        padding += 1
        continue
      default: return nil
      }
      guard padding == 0 else { return nil }
      group = group << 6 | UInt32(digit)
      digits += 1
      if digits % 4 == 0 {
        bytes += [
          UInt8(truncatingIfNeeded: group >> 16), UInt8(truncatingIfNeeded: group >> 8),
          UInt8(truncatingIfNeeded: group),
        ]
        group = 0
      }
    }
    let rest = digits % 4
    guard rest != 1, padding == 0 || padding == 4 - rest else { return nil }
    if rest == 2 { bytes.append(UInt8(truncatingIfNeeded: group >> 4)) }
    if rest == 3 { bytes += [UInt8(truncatingIfNeeded: group >> 10), UInt8(truncatingIfNeeded: group >> 2)] }
    let unused: UInt32 = rest == 2 ? 0xF : rest == 3 ? 0x3 : 0
    return (bytes, group & unused == 0)
  }

  /// base64url without padding.
  public static func url(_ bytes: some Collection<UInt8>) -> String {
    String(decoding: encode(bytes, ending: "-_"), as: UTF8.self)
  }

  /// base64 with padding.
  public static func standard(_ bytes: some Collection<UInt8>) -> String {
    var text = encode(bytes, ending: "+/")
    while !text.count.isMultiple(of: 4) { text.append(UInt8(ascii: "=")) }
    return String(decoding: text, as: UTF8.self)
  }

  /// - Parameter ending: The last two characters of the alphabet.
  private static func encode(_ bytes: some Collection<UInt8>, ending: String) -> [UInt8] {
    let alphabet = Array(("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + ending).utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 4 / 3 + 2)
    var (group, bits) = (UInt32(0), 0)
    for byte in bytes {
      group = group << 8 | UInt32(byte)
      bits += 8
      while bits >= 6 {
        bits -= 6
        text.append(alphabet[Int(group >> UInt32(bits) & 63)])
      }
    }
    if bits > 0 { text.append(alphabet[Int(group << UInt32(6 - bits) & 63)]) }
    return text
  }
}
