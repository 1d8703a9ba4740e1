import PercentCoding
/// The head of a request, checked more strictly than by libmicrohttpd 0.9.75: a head that two servers could interpret
/// differently is refused (RFC 9112, section 11.2, “Request Smuggling”).
struct RequestHead {
  let request: Request
  /// Length of the body in bytes; nil: chunked.
  let contentLength: Int?
  let hasBody: Bool
  /// The client waits for “100 Continue” before it sends the body.
  let expectsContinue: Bool

  /// Bytes of the target and the headers, with 64 for each header.
  static let maximumSize = 24 << 10

  /// A head that is not accepted.
  struct Refusal: Error {
    var status = 400
    let reason: String

    var problem: Problem {
      let title =
        switch status {
        case 405: "Method not allowed"
        case 417: "Expectation failed"
        case 431: "Request header fields too large"
        case 501: "Not implemented"
        default: "Bad request"
        }
      let allowed = Request.Method.allCases.map(\.rawValue).joined(separator: ", ")
      return Problem(status, title, detail: reason, headers: status == 405 ? [("Allow", allowed)] : [])
    }
  }

  init(method: String, version: String, target: String, headers: Headers) throws(Refusal) {
    guard version == "HTTP/1.1" || version == "HTTP/1.0" else { throw Refusal(reason: "use HTTP version 1.1") }
    // libmicrohttpd needs room for its answer beside the head.
    let size = headers.fields.reduce(target.utf8.count) { $0 + $1.name.utf8.count + $1.value.utf8.count + 64 }
    guard size <= Self.maximumSize else { throw Refusal(status: 431, reason: "the head is too large") }
    for (name, value) in headers.fields where !Headers.isSound(name, value) {
      throw Refusal(reason: "the header \(name.prefix(40)) is malformed")
    }
    let hosts = headers.count(of: "Host")
    guard hosts == 1 || hosts == 0 && version == "HTTP/1.0" else {
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
    // Methods that there are, and that nothing has here; others are not known at all.
    guard !["TRACE", "CONNECT", "QUERY"].contains(method) else {
      throw Refusal(status: 405, reason: "\(method) is never answered here")
    }
    guard let method = Request.Method(rawValue: method) else {
      throw Refusal(status: 501, reason: "the method is not supported")
    }
    hasBody = contentLength != 0
    if let expectation = headers["Expect"] {
      guard headers.count(of: "Expect") == 1, expectation.lowercased() == "100-continue" else {
        throw Refusal(status: 417, reason: "the only expectation that is met is 100-continue")
      }
      expectsContinue = hasBody && version == "HTTP/1.1"
    } else {
      expectsContinue = false
    }
    let local = try Self.local(target, method)
    let parts = local.utf8.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
    request = Request(
      method: method, target: target, path: try Self.path(parts[0]),
      query: parts.count == 2 ? try Self.query(parts[1]) : [], headers: headers)
  }

  /// The path and query of a target. Its absolute form, as sent to proxies, is accepted (RFC 9112, section 3.2.2).
  private static func local(_ target: String, _ method: Request.Method) throws(Refusal) -> Substring {
    guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }) else {
      throw Refusal(reason: "the request target is malformed")
    }
    if target.utf8.first == UInt8(ascii: "/") { return target[...] }
    if target == "*", method == .options { return "*" }
    for scheme in ["http://", "https://"] where target.lowercased().hasPrefix(scheme) {
      let rest = target.dropFirst(scheme.count)
      let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
      guard end > rest.startIndex else { break }
      let local = rest[end...]
      return local.hasPrefix("/") ? local : "/" + local
    }
    throw Refusal(reason: "the request target is malformed")
  }

  // These functions work on bytes: a target is ASCII, and splitting a String into Characters would dominate the cost.
  private static func path(_ text: Substring.UTF8View) throws(Refusal) -> [String] {
    var segments: [String] = []
    for segment in text.split(separator: UInt8(ascii: "/")) {
      guard let decoded = PercentCoding.decoded(segment, plusIsSpace: false), decoded != ".", decoded != "..",
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
      guard let name = PercentCoding.decoded(parts[0], plusIsSpace: true),
        let value = parts.count == 2 ? PercentCoding.decoded(parts[1], plusIsSpace: true) : ""
      else { throw Refusal(reason: "the query is malformed") }
      items.append((name, value))
    }
    return items
  }
}
