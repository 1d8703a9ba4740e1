/// Bytes as text in 64 characters (RFC 4648).
public enum Base64 {
  /// Reads either alphabet, padded or not. The last digit's bits that no byte has are ignored, whatever they are.
  ///
  /// - Returns: nil for any other character, and for a number of digits that no bytes have.
  public static func decodeLeniently(_ text: some Sequence<UInt8>) -> [UInt8]? {
    inMemory(text) { decode($0, digit: eitherDigit)?.bytes }
  }

  /// Reads base64url without padding, in the one form that its bytes have (RFC 7515, section 2).
  public static func decodeURL(_ text: some Sequence<UInt8>) -> [UInt8]? {
    inMemory(text) { text in
      guard let (bytes, isCanonical) = decode(text, digit: urlDigit), isCanonical else { return nil }
      return bytes
    }
  }

  /// The loops below run over plain memory: over a sequence of any kind, each byte would cost a call.
  private static func inMemory<Value>(
    _ bytes: some Sequence<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Value
  ) -> Value {
    bytes.withContiguousStorageIfAvailable(body) ?? Array(bytes).withUnsafeBufferPointer(body)
  }

  // MARK: Reading

  private static let (none, padding): (UInt8, UInt8) = (255, 254)
  /// The digit of each character, or one of these two.
  private static let urlDigit = digits { alphabet($0, isURLSafe: true) }
  private static let eitherDigit: [UInt8] = {
    var both = digits { alphabet($0, isURLSafe: false) }
    for character in "-_".utf8 { both[Int(character)] = urlDigit[Int(character)] }
    both[Int(UInt8(ascii: "="))] = padding
    return both
  }()

  private static func digits(_ character: (UInt32) -> UInt8) -> [UInt8] {
    var digits = [UInt8](repeating: none, count: 256)
    for digit in UInt8(0)..<64 { digits[Int(character(UInt32(digit)))] = digit }
    return digits
  }

  private static func decode(
    _ text: UnsafeBufferPointer<UInt8>, digit table: [UInt8]
  ) -> (bytes: [UInt8], isCanonical: Bool)? {
    var end = text.count
    while end > 0, table[Int(text[end - 1])] == padding { end -= 1 }
    let (rest, padded) = (end % 4, text.count - end)
    guard rest != 1, padded == 0 || padded == (4 - rest) % 4 else { return nil }
    var (unused, isText) = (UInt32(0), true)
    let bytes = [UInt8](unsafeUninitializedCapacity: end * 3 / 4) { bytes, count in
      var (group, bits) = (UInt32(0), UInt32(0))
      for index in 0..<end {
        let digit = table[Int(text[index])]
        guard digit < 64 else {
          isText = false
          return
        }
        group = group << 6 | UInt32(digit)
        bits += 6
        guard bits >= 8 else { continue }
        bits -= 8
        bytes.initializeElement(at: count, to: UInt8(truncatingIfNeeded: group >> bits))
        count += 1
      }
      unused = group & (1 << bits - 1)
    }
    return isText ? (bytes, unused == 0) : nil
  }

  // MARK: Writing

  /// base64url without padding.
  public static func url(_ bytes: some Sequence<UInt8>) -> String {
    var text: [UInt8] = []
    append(bytes, isURLSafe: true, isPadded: false, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// base64 with padding.
  public static func standard(_ bytes: some Sequence<UInt8>) -> String {
    var text: [UInt8] = []
    append(bytes, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Appends base64 to a text.
  public static func append(
    _ bytes: some Sequence<UInt8>, isURLSafe: Bool = false, isPadded: Bool = true, to text: inout [UInt8]
  ) {
    inMemory(bytes) { bytes in
      var (group, bits) = (UInt32(0), UInt32(0))
      for byte in bytes {
        group = group << 8 | UInt32(byte)
        bits += 8
        while bits >= 6 {
          bits -= 6
          text.append(alphabet(group >> bits, isURLSafe: isURLSafe))
        }
      }
      if bits > 0 { text.append(alphabet(group << (6 - bits), isURLSafe: isURLSafe)) }
      guard isPadded else { return }
      for _ in 0..<(3 - bytes.count % 3) % 3 { text.append(UInt8(ascii: "=")) }
    }
  }

  /// The character of a group's last six bits.
  private static func alphabet(_ group: UInt32, isURLSafe: Bool) -> UInt8 {
    let alphabet: StaticString =
      isURLSafe
      ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return alphabet.utf8Start[Int(group & 63)]
  }
}
