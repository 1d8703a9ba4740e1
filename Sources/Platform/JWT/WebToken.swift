import Base64
import Crypto
public import JSON

/// A JSON Web Token (RFC 7519) whose signature and claims have been checked, with the cautions of RFC 8725.
public struct WebToken: Sendable {
  public let claims: JSONObject

  /// What a token must say, beside a good signature.
  public struct Rules: Sendable {
    public var issuer: String
    public var audience: String
    /// How much the clocks of issuer and reader may differ, in seconds.
    public var leeway: Int64

    public init(issuer: String, audience: String, leeway: Int64) {
      (self.issuer, self.audience, self.leeway) = (issuer, audience, leeway)
    }

    /// True before the token's end and the leeway after it. Both times are seconds since 1970.
    public func isValid(until expires: Int64, at now: Int64) -> Bool { now < expires + leeway }
  }

  /// The largest token that is looked at, in bytes.
  public static let maximumSize = 8_192

  /// Checks a token.
  ///
  /// - Parameter now: Seconds since 1970.
  public init(_ text: String, keys: WebKeys, rules: Rules, now: Int64) throws(WebTokenError) {
    guard text.utf8.count <= Self.maximumSize else { throw .tooLarge }
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let header = Self.object(parts[0]), let signature = Base64.decodeURL(parts[2]) else {
      throw .malformed
    }
    // What a header names as critical must be understood; nothing is.
    guard header["crit"] == nil else { throw .critical }
    if let type = header["typ"]?.string?.lowercased(), !["jwt", "at+jwt", "application/at+jwt"].contains(type) {
      throw .type(String(type.prefix(40)))
    }
    let name = header["alg"]?.string ?? ""
    guard let algorithm = WebAlgorithm(rawValue: name) else { throw .algorithm(String(name.prefix(40))) }
    let id = header["kid"]?.string
    let keys = keys.keys(algorithm, id: id)
    guard !keys.isEmpty else { throw .unknownKey(id.map { String($0.prefix(80)) }) }
    let message = Array(parts[0]) + [UInt8(ascii: ".")] + Array(parts[1])
    guard keys.contains(where: { $0.verifies(signature, of: message) }) else { throw .signature }
    // Only now is anything of its content looked at.
    guard let claims = Self.object(parts[1]) else { throw .malformed }
    try Self.check(claims, rules, now)
    self.claims = claims
  }

  private static func object(_ part: Substring.UTF8View) -> JSONObject? {
    guard let bytes = Base64.decodeURL(part) else { return nil }
    return try? JSONValue(parsing: bytes, maximumDepth: 8).object
  }

  private static func check(_ claims: JSONObject, _ rules: Rules, _ now: Int64) throws(WebTokenError) {
    guard let expires = try time("exp", claims) else { throw .missing("exp") }
    guard rules.isValid(until: expires, at: now) else { throw .expired }
    if let begins = try time("nbf", claims), now < begins - rules.leeway { throw .notYetValid("nbf") }
    if let issued = try time("iat", claims), now < issued - rules.leeway { throw .notYetValid("iat") }
    guard claims["iss"]?.string == rules.issuer else { throw .issuer }
    switch claims["aud"] {
    case .string(rules.audience): break
    case .array(let audiences) where audiences.contains(.string(rules.audience)): break
    default: throw .audience
    }
    guard let subject = claims["sub"]?.string, !subject.isEmpty else { throw .missing("sub") }
  }

  /// A time of the claims in seconds since 1970, which may have a fraction.
  private static func time(_ name: String, _ claims: JSONObject) throws(WebTokenError) -> Int64? {
    guard let value = claims[name] else { return nil }
    // Beyond the year 9999 lies no time, and no overflow.
    guard let seconds = value.double, (0..<253_402_300_800).contains(seconds) else { throw .time(name) }
    return Int64(seconds)
  }

  public var subject: String { claims["sub"]?.string ?? "" }
  /// Seconds since 1970.
  public var expires: Int64 { claims["exp"]?.double.map { Int64($0) } ?? 0 }

  /// Signs claims with a shared secret (HS256).
  ///
  /// - Parameter keyID: The secret's name; nil: it has none.
  public static func sign(_ claims: JSONValue, secret: [UInt8], keyID: String? = nil) -> String {
    var header: [JSONObject.Member] = [.init(name: "alg", value: "HS256"), .init(name: "typ", value: "JWT")]
    if let keyID { header.append(.init(name: "kid", value: .string(keyID))) }
    let message = Base64.url(JSONValue.object(JSONObject(header)).bytes) + "." + Base64.url(claims.bytes)
    return message + "." + Base64.url(SHA256.authenticationCode(of: Array(message.utf8), key: secret))
  }
}

/// Why a token is refused.
public enum WebTokenError: Error, Equatable, CustomStringConvertible {
  case tooLarge
  case malformed
  case critical
  case type(String)
  case algorithm(String)
  case unknownKey(String?)
  case signature
  case missing(String)
  case time(String)
  case expired
  case notYetValid(String)
  case issuer
  case audience

  public var description: String {
    switch self {
    case .tooLarge: "it has more than \(WebToken.maximumSize) bytes"
    case .malformed: "it is no JSON Web Token: three parts in base64url, the first two JSON objects"
    case .critical: "its header names critical extensions (crit), and none is known here"
    case .type(let type): "its type “\(type)” is not JWT or at+jwt"
    case .algorithm(let name): "its algorithm “\(name)” is not HS256, RS256 or ES256"
    case .unknownKey(let id):
      id.map { "no key for its algorithm has the name “\($0)”" }
        ?? "it names no key (kid), and there is not exactly one for its algorithm"
    case .signature: "its signature is wrong"
    case .missing(let name): "it has no “\(name)”"
    case .time(let name): "its “\(name)” is no time in seconds"
    case .expired: "it has expired"
    case .notYetValid(let name): "it is not valid yet (\(name)): compare the clocks"
    case .issuer: "its issuer (iss) is not the one of auth.issuer"
    case .audience: "its audience (aud) does not have the one of auth.audience"
    }
  }
}
