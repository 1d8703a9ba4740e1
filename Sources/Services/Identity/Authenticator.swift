public import Configuration
import Domain
public import HTTPServer
import JSON
import JWT
import Time

/// Finds out who calls: by a token, or in development by the header `X-Actor`.
public struct Authenticator: Sendable {
  private let keys: TrustedKeys
  let mode: IdentitySettings.Mode
  private let rules: WebToken.Rules
  private let rolesClaim: String
  private let groupsClaim: String
  private let defaultRole: Role
  private let trustsAddresses: Bool

  static let actorHeader = "X-Actor"
  static let tokenParameter = "token"

  /// More roles or groups than a caller has.
  private static let maximumClaims = 500

  public init(_ settings: Configuration, keys: TrustedKeys) {
    self.keys = keys
    mode = settings[IdentitySettings.mode]
    rules = WebToken.Rules(
      issuer: settings[IdentitySettings.issuer], audience: settings[IdentitySettings.audience],
      leeway: settings[IdentitySettings.leeway].components.seconds)
    rolesClaim = settings[IdentitySettings.roles]
    groupsClaim = settings[IdentitySettings.groups]
    trustsAddresses = settings[IdentitySettings.trustsAddresses]
    defaultRole = settings[IdentitySettings.defaultRole]
  }

  /// Who sends a request.
  ///
  /// - Throws: A problem with status 401 for a token that is refused, 400 for an unusable `X-Actor`.
  func caller(of request: Request, takesTokenInQuery: Bool = false) throws(Problem) -> Caller {
    let named = try actor(request)
    guard let text = try token(request) ?? (takesTokenInQuery ? request.query(Self.tokenParameter) : nil) else {
      guard mode == .development else { return .nobody }
      // Every page that a developer opens could otherwise send requests in his name.
      guard request.headers["Sec-Fetch-Site"] != "cross-site" else {
        throw Problem(403, "Forbidden", detail: "a page of another site has no access in development: send a token")
      }
      return .developer(named)
    }
    let caller = try caller(token: text)
    if let named, named != caller.actor { try caller.require(name: named, in: Self.actorHeader) }
    return caller
  }

  /// Who a token is.
  ///
  /// - Throws: A problem with status 401.
  public func caller(token text: String) throws(Problem) -> Caller {
    do throws(WebTokenError) {
      guard text.utf8.count <= WebToken.maximumSize else { throw .tooLarge }
      let (now, ring, shown) = (Timestamp.now().microseconds / 1_000_000, keys.ring, ShownToken(text))
      if let caller = ring.caller(shown), rules.isValid(until: caller.expires ?? 0, at: now) { return caller }
      let caller = caller(try WebToken(text, keys: ring.keys, rules: rules, now: now))
      ring.insert(shown, caller)
      return caller
    } catch {
      // The issuer may have a new key. The request does not wait for it: the next one finds it.
      if case .unknownKey = error { keys.want() }
      throw Self.unauthorized("the token is refused: \(error)", isToken: true)
    }
  }

  private func caller(_ token: WebToken) -> Caller {
    var names: Set<ExactName> = [ExactName(token.subject)]
    // An address that nobody has confirmed could be anybody's.
    if let address = token.claims["email"]?.string, address.utf8.contains(UInt8(ascii: "@")), isConfirmed(token) {
      names.insert(ExactName(address))
    }
    let roles = Set(strings(token, rolesClaim).compactMap { Role(rawValue: $0) })
    return Caller(
      actor: token.subject, names: names, groups: Set(strings(token, groupsClaim).map { ExactName($0) }),
      roles: roles.isEmpty ? [defaultRole] : roles, expires: token.expires)
  }

  private func isConfirmed(_ token: WebToken) -> Bool {
    switch token.claims["email_verified"] {
    case .bool(true), .string("true"): true
    case nil: trustsAddresses
    default: false
    }
  }

  /// A claim of one string, or of several.
  private func strings(_ token: WebToken, _ claim: String) -> [String] {
    switch token.claims[claim] {
    case .string(let one): [one]
    case .array(let several): several.prefix(Self.maximumClaims).compactMap(\.string)
    default: []
    }
  }

  private func token(_ request: Request) throws(Problem) -> String? {
    guard let header = request.headers["Authorization"] else { return nil }
    guard request.headers.count(of: "Authorization") == 1 else {
      throw Self.unauthorized("there are several Authorization headers", isToken: true)
    }
    guard let token = Credentials.word(after: "bearer", in: header) else {
      throw Self.unauthorized("Authorization must be “Bearer” and a token", isToken: true)
    }
    return token
  }

  private func actor(_ request: Request) throws(Problem) -> String? {
    guard let name = request.headers[Self.actorHeader] else { return nil }
    guard Self.isName(name) else {
      throw Problem(
        400, "Malformed header",
        detail: "\(Self.actorHeader) needs 1 to 200 bytes and a character that is not blank",
        field: Self.actorHeader)
    }
    return name
  }

  /// - Parameter isToken: There was one (RFC 6750, section 3.1).
  static func unauthorized(_ detail: String, isToken: Bool) -> Problem {
    Problem(
      401, "Unauthorized", detail: detail, field: "Authorization",
      headers: [("WWW-Authenticate", #"Bearer realm="annals""# + (isToken ? #", error="invalid_token""# : ""))])
  }

  /// 1 to 200 bytes without control characters, not all of them blank.
  static func isName(_ text: String) -> Bool {
    (1...200).contains(text.utf8.count) && text.contains { !$0.isWhitespace }
      && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
  }
}
