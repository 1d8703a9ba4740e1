import Crypto
import Time

/// Signs requests by AWS Signature Version 4, as “Authenticating Requests” in Amazon's S3 API reference describes it.
struct Signature {
  let accessKey: String
  let secretKey: String
  let region: String

  /// The body, in the form in which it is signed.
  enum Payload {
    case bytes([UInt8])
    /// Signed chunks, as `SignedChunks` makes them; `length` without their frames.
    case chunks(length: Int)
  }

  /// Headers of a signed request, and what the signatures of its chunks follow from.
  struct Signed {
    let headers: [(name: String, value: String)]
    let stamp: String
    let scope: String
    let key: [UInt8]
    let signature: String
  }

  /// - Parameters:
  ///   - path: Percent-encoded, as it will be sent.
  ///   - query: Not encoded.
  func sign(
    method: String, host: String, path: String, query: [(name: String, value: String)] = [], payload: Payload,
    at time: Timestamp
  ) -> Signed {
    let stamp = Self.stamp(time)
    let date = String(stamp.prefix(8))
    let hash: String
    var headers: [(name: String, value: String)] = []
    switch payload {
    case .bytes(let bytes): hash = SHA256.hash(bytes).hexadecimal
    case .chunks(let length):
      hash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
      headers = [("x-amz-decoded-content-length", "\(length)")]
    }
    headers = [("x-amz-content-sha256", hash), ("x-amz-date", stamp)] + headers
    // In the order of their names.
    let signed = [("host", host)] + headers
    let names = signed.map(\.0).joined(separator: ";")
    let canonical = [
      method, path, Self.query(query), signed.map { "\($0):\($1)\n" }.joined(), names, hash,
    ].joined(separator: "\n")
    let scope = "\(date)/\(region)/s3/aws4_request"
    let text = "AWS4-HMAC-SHA256\n\(stamp)\n\(scope)\n\(SHA256.hash(Array(canonical.utf8)).hexadecimal)"
    let key = [date, region, "s3", "aws4_request"].reduce(Array("AWS4\(secretKey)".utf8)) {
      SHA256.authenticationCode(of: Array($1.utf8), key: $0)
    }
    let signature = SHA256.authenticationCode(of: Array(text.utf8), key: key).hexadecimal
    headers.append(
      (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=\(accessKey)/\(scope), SignedHeaders=\(names), Signature=\(signature)"
      ))
    return Signed(headers: headers, stamp: stamp, scope: scope, key: key, signature: signature)
  }

  /// The query as it is signed and sent: encoded, in the order of the names.
  static func query(_ items: [(name: String, value: String)]) -> String {
    items.map { (encoded($0.name), encoded($0.value)) }.sorted { $0 < $1 }.map { "\($0)=\($1)" }
      .joined(separator: "&")
  }

  /// `20261121T132038Z`.
  private static func stamp(_ time: Timestamp) -> String {
    String(time.description.prefix(19).filter { $0 != "-" && $0 != ":" }) + "Z"
  }

  /// Percent-encodes all but RFC 3986's unreserved characters and, where asked, the slash.
  static func encoded(_ text: String, keepingSlash: Bool = false) -> String {
    text.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        return String(Character(Unicode.Scalar(byte)))
      case UInt8(ascii: "/") where keepingSlash: return "/"
      default: return "%" + [byte].hexadecimal.uppercased()
      }
    }.joined()
  }
}

/// Frames a body as signed chunks of equal size (“Signature Calculations for the Authorization Header: Transferring
/// Payload in Multiple Chunks” in Amazon's S3 API reference). A changed or missing chunk is refused by the server.
struct SignedChunks {
  static let size = 64 << 10
  private static let emptyHash = SHA256.hash([]).hexadecimal

  private let signed: Signature.Signed
  private var previous: String
  private var pending: [UInt8] = []

  init(_ signed: Signature.Signed) {
    self.signed = signed
    previous = signed.signature
  }

  /// The bytes that `length` bytes of a body become.
  static func framedLength(_ length: Int) -> Int {
    func frame(_ count: Int) -> Int {
      String(count, radix: 16).utf8.count + ";chunk-signature=".utf8.count + 64 + 4 + count
    }
    let rest = length % size
    return length / size * frame(size) + (rest > 0 ? frame(rest) : 0) + frame(0)
  }

  /// The chunks that are complete with these bytes, framed.
  mutating func add(_ bytes: [UInt8]) -> [UInt8] {
    pending += bytes
    guard pending.count >= Self.size else { return [] }
    var framed: [UInt8] = []
    framed.reserveCapacity(pending.count / Self.size * (Self.size + 100))
    var start = 0
    while pending.count - start >= Self.size {
      frame(pending[start..<start + Self.size], into: &framed)
      start += Self.size
    }
    pending.removeFirst(start)
    return framed
  }

  /// The last chunks.
  mutating func end() -> [UInt8] {
    var framed: [UInt8] = []
    if !pending.isEmpty { frame(pending[...], into: &framed) }
    frame([], into: &framed)
    return framed
  }

  private mutating func frame(_ chunk: ArraySlice<UInt8>, into framed: inout [UInt8]) {
    let text = [
      "AWS4-HMAC-SHA256-PAYLOAD", signed.stamp, signed.scope, previous, Self.emptyHash,
      SHA256.hash(chunk).hexadecimal,
    ].joined(separator: "\n")
    previous = SHA256.authenticationCode(of: Array(text.utf8), key: signed.key).hexadecimal
    framed += "\(String(chunk.count, radix: 16));chunk-signature=\(previous)\r\n".utf8
    framed += chunk
    framed += [13, 10]
  }
}
