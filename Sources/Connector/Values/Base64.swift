import JSON

/// RFC 4648 with padding.
enum Base64 {
  static func write(_ bytes: some RandomAccessCollection<UInt8>, isURLSafe: Bool = false, into text: inout [UInt8]) {
    let alphabet: StaticString =
      isURLSafe
      ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    func letter(_ bits: UInt32) -> UInt8 { alphabet.utf8Start[Int(bits & 63)] }
    var rest = bytes[...]
    while rest.count >= 3 {
      let (a, b, c) = (rest.removeFirst(), rest.removeFirst(), rest.removeFirst())
      let group = UInt32(a) << 16 | UInt32(b) << 8 | UInt32(c)
      text.append(letter(group >> 18))
      text.append(letter(group >> 12))
      text.append(letter(group >> 6))
      text.append(letter(group))
    }
    guard let a = rest.popFirst() else { return }
    let b = rest.popFirst()
    let group = UInt32(a) << 16 | UInt32(b ?? 0) << 8
    text.append(letter(group >> 18))
    text.append(letter(group >> 12))
    text.append(b == nil ? UInt8(ascii: "=") : letter(group >> 6))
    text.append(UInt8(ascii: "="))
  }
}
