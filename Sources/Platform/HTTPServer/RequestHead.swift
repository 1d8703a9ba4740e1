/// The head of a request, checked more strictly than by libmicrohttpd 0.9.75: a head that two servers could interpret
/// differently is refused (RFC 9112, section 11.2, “Request Smuggling”).
struct RequestHead {
  let request: Request
  /// Length of the body in bytes; nil: chunked.
  let contentLength: Int?
  let hasBody: Bool
  /// The client waits for “100 Continue” before it sends the body.
  let expectsContinue: Bool

  struct Refusal: Error {
    let reason: String
  }

  init(method: String, version: String, target: String, headers: Headers) throws(Refusal) {
    guard version == "HTTP/1.1" || version == "HTTP/1.0" else { throw Refusal(reason: "use HTTP version 1.1") }
    guard target.hasPrefix("/"), target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw Refusal(reason: "the request target is malformed")
    }
    for (name, value) in headers.fields {
      guard !name.isEmpty, name.utf8.allSatisfy(Self.isToken) else {
        throw Refusal(reason: "the name of a header is malformed")
      }
      guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
        throw Refusal(reason: "the header \(name) contains a control character")
      }
    }
    guard version == "HTTP/1.0" || headers.count(of: "Host") == 1 else {
      throw Refusal(reason: "exactly one Host header is required")
    }
    let lengths = headers.count(of: "Content-Length")
    let codings = headers.count(of: "Transfer-Encoding")
    guard lengths + codings <= 1, codings == 0 || version == "HTTP/1.1" else {
      throw Refusal(reason: "the length of the body is ambiguous")
    }
    if let coding = headers["Transfer-Encoding"], coding.lowercased() != "chunked" {
      throw Refusal(reason: "Transfer-Encoding must be chunked")
    }
    if let text = headers["Content-Length"] {
      guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(text) else {
        throw Refusal(reason: "Content-Length is malformed")
      }
      contentLength = length
    } else {
      contentLength = codings == 0 ? 0 : nil
    }
    guard let method = Request.Method(rawValue: method) else { throw Refusal(reason: "the method is not supported") }
    hasBody = contentLength != 0
    expectsContinue = headers["Expect"]?.lowercased() == "100-continue"
    let parts = target.utf8.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
    request = Request(
      method: method, target: target, path: try Self.path(parts[0]),
      query: parts.count == 2 ? try Self.query(parts[1]) : [], headers: headers)
  }

  // These functions work on bytes: a target is ASCII, and splitting a String into Characters would dominate the cost.
  private static func path(_ text: Substring.UTF8View) throws(Refusal) -> [String] {
    var segments: [String] = []
    for segment in text.split(separator: UInt8(ascii: "/")) {
      guard let decoded = percentDecoded(segment, plusIsSpace: false), decoded != ".", decoded != "..",
        !decoded.utf8.contains(UInt8(ascii: "/")), !decoded.utf8.contains(0)
      else { throw Refusal(reason: "the path is malformed") }
      segments.append(decoded)
    }
    return segments
  }

  private static func query(_ text: Substring.UTF8View) throws(Refusal) -> [(name: String, value: String)] {
    var items: [(name: String, value: String)] = []
    for item in text.split(separator: UInt8(ascii: "&")) {
      let parts = item.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = percentDecoded(parts[0], plusIsSpace: true),
        let value = parts.count == 2 ? percentDecoded(parts[1], plusIsSpace: true) : ""
      else { throw Refusal(reason: "the query is malformed") }
      items.append((name, value))
    }
    return items
  }

  /// Decodes percent escapes; nil if an escape is malformed or the result is not UTF-8.
  private static func percentDecoded(_ text: Substring.UTF8View, plusIsSpace: Bool) -> String? {
    guard text.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else {
      return String(Substring(text))
    }
    var bytes: [UInt8] = []
    var rest = Array(text)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "+"), plusIsSpace {
        bytes.append(UInt8(ascii: " "))
      } else if byte == UInt8(ascii: "%") {
        guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
          rest.first != UInt8(ascii: "+"), rest.first != UInt8(ascii: "-")
        else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E: true
    default: false
    }
  }
}
