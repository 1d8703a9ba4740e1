/// Identifiers of requests: the client's own, or new ones. They are in the answers and in the log.
struct RequestIDs {
  static let header = "X-Request-ID"

  /// Random: no other listener gives the same ids.
  private let prefix = String(UInt64.random(in: 0...UInt64.max), radix: 36)
  private var count: UInt64 = 0

  mutating func next(_ headers: Headers) -> String {
    if let given = headers[Self.header], Self.isValid(given) { return given }
    count += 1
    return "\(prefix)-\(String(count, radix: 36))"
  }

  /// 1 to 128 bytes that are harmless in any log.
  private static func isValid(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
          UInt8(ascii: ":"), UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "="):
          true
        default: false
        }
      }
  }
}
