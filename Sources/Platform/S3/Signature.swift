import Crypto
import Time

/// Signs requests by AWS Signature Version 4, as “Authenticating Requests” in Amazon's S3 API reference describes it.
struct Signature {
  let accessKey: String
  let secretKey: String
  let region: String

  /// The headers to add to a request.
  ///
  /// - Parameter path: Percent-encoded, as it will be sent.
  func headers(
    method: String, host: String, path: String, query: [(name: String, value: String)] = [], body: [UInt8],
    at time: Timestamp
  ) -> [(name: String, value: String)] {
    let stamp = Self.stamp(time)
    let date = String(stamp.prefix(8))
    let hash = SHA256.hash(body).hexadecimal
    let signed = [("host", host), ("x-amz-content-sha256", hash), ("x-amz-date", stamp)]
    let names = signed.map(\.0).joined(separator: ";")
    let canonicalQuery = query.map { (Self.encoded($0.name), Self.encoded($0.value)) }.sorted { $0 < $1 }
      .map { "\($0)=\($1)" }.joined(separator: "&")
    let canonical = [
      method, path, canonicalQuery, signed.map { "\($0):\($1)\n" }.joined(), names, hash,
    ].joined(separator: "\n")
    let scope = "\(date)/\(region)/s3/aws4_request"
    let text = "AWS4-HMAC-SHA256\n\(stamp)\n\(scope)\n\(SHA256.hash(Array(canonical.utf8)).hexadecimal)"
    let key = [date, region, "s3", "aws4_request"].reduce(Array("AWS4\(secretKey)".utf8)) {
      SHA256.authenticationCode(of: Array($1.utf8), key: $0)
    }
    let signature = SHA256.authenticationCode(of: Array(text.utf8), key: key).hexadecimal
    return [
      ("x-amz-content-sha256", hash), ("x-amz-date", stamp),
      (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=\(accessKey)/\(scope), SignedHeaders=\(names), Signature=\(signature)"
      ),
    ]
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
