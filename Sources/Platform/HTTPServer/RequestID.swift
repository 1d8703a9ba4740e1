import Identifiers

/// The identifier of one request: the client's own, or a new one. It is in the answer and in the log.
enum RequestID {
  static let header = "X-Request-ID"

  static func of(_ headers: Headers) -> String {
    if let given = headers[header], isValid(given) { return given }
    return UUID.version7().description
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
