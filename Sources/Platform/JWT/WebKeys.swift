import Base64
import Crypto
import JSON

/// An algorithm of JSON Web Signature (RFC 7518, section 3.1).
public enum WebAlgorithm: String, Sendable {
  case hs256 = "HS256", rs256 = "RS256", es256 = "ES256"
}

/// A key that signatures are checked with. It decides the algorithm, never the token: a token that names another one is refused,
/// so a public key is never taken for a shared secret.
public struct WebKey: Sendable {
  enum Material: Sendable {
    case secret([UInt8])
    case publicKey(PublicKey)
  }

  /// `kid`; nil: it has no name.
  public let id: String?
  public let algorithm: WebAlgorithm
  let material: Material

  /// The least length of a shared secret, in bytes (RFC 7518, section 3.2).
  public static let leastSecret = 32

  /// A shared secret.
  ///
  /// - Returns: nil if it is too short.
  public init?(secret: [UInt8], id: String? = nil) {
    guard secret.count >= Self.leastSecret else { return nil }
    (self.id, algorithm, material) = (id, .hs256, .secret(secret))
  }

  /// Reads a public key of a JSON Web Key Set.
  ///
  /// - Returns: nil for a key of another kind or use: a set may have keys that others need.
  init?(_ json: JSONValue) {
    guard (json["use"] ?? "sig") == "sig" else { return nil }
    if let operations = json["key_ops"]?.array, !operations.contains("verify") { return nil }
    func number(_ name: String) -> [UInt8]? { json[name]?.string.flatMap { Base64.decodeURL($0.utf8) } }
    switch json["kty"]?.string {
    case "RSA":
      guard let n = number("n"), let e = number("e"), let key = PublicKey.rsa(modulus: n, exponent: e) else {
        return nil
      }
      (algorithm, material) = (.rs256, .publicKey(key))
    case "EC":
      guard json["crv"]?.string == "P-256", let x = number("x"), let y = number("y"),
        let key = PublicKey.p256(x: x, y: y)
      else { return nil }
      (algorithm, material) = (.es256, .publicKey(key))
    default: return nil
    }
    if let named = json["alg"]?.string, named != algorithm.rawValue { return nil }
    id = json["kid"]?.string
  }

  func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
    switch material {
    case .secret(let secret): isEqualInConstantTime(signature, SHA256.authenticationCode(of: message, key: secret))
    case .publicKey(let key): key.verifies(signature, of: message)
    }
  }
}

/// Keys that signatures are checked with.
public struct WebKeys: Sendable {
  public let keys: [WebKey]

  /// More keys than any issuer has at a time.
  public static let maximum = 100

  public init(_ keys: [WebKey] = []) { self.keys = keys }

  /// Reads a JSON Web Key Set (RFC 7517, section 5). Keys of other kinds are left out, shared secrets too.
  ///
  /// - Throws: `WebKeysError` if it is none, or has no key that can be used.
  public init(set bytes: [UInt8]) throws(WebKeysError) {
    let value: JSONValue
    do { value = try JSONValue(parsing: bytes) } catch { throw WebKeysError("it is not JSON: \(error)") }
    guard let list = value["keys"]?.array else { throw WebKeysError("it has no “keys”") }
    guard list.count <= Self.maximum else { throw WebKeysError("it has more than \(Self.maximum) keys") }
    keys = list.compactMap { WebKey($0) }
    guard !keys.isEmpty else {
      throw WebKeysError("it has no RSA key of 2048 bits or more and no P-256 key for signatures")
    }
  }

  /// The keys that a token may mean: of its algorithm, with its name. A token without a name is for a set with one such key; of shared secrets
  /// without a name, each may be meant: the old one and the new one.
  func keys(_ algorithm: WebAlgorithm, id: String?) -> [WebKey] {
    let fitting = keys.filter { $0.algorithm == algorithm && (id == nil || $0.id == id) }
    if fitting.count <= 1 { return fitting }
    return id == nil && algorithm == .hs256 ? fitting.filter { $0.id == nil } : []
  }
}

/// Why a text is no set of keys.
public struct WebKeysError: Error, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}
