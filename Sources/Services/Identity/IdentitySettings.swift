public import CommandLine
public import Configuration
import JWT

/// Who may call.
public enum IdentitySettings {
  public enum Mode: String, CaseIterable, ArgumentValue {
    /// Each request has a token.
    case tokens
    /// A request without a token may do everything.
    case development
  }

  public static let mode = Setting(
    "auth.mode", default: Mode.tokens,
    "tokens: each request needs a token. development: one without a token may do everything, in the name of X-Actor.")
  static let secret = Setting(
    "auth.secret", default: "", isSecret: true,
    "Shared secret of tokens that are signed with HS256, at least 32 bytes. Several, one on each line, are all accepted, and the first signs: so a new one comes in before the old one goes.",
    accepts: { secrets($0).allSatisfy { $0.utf8.count >= WebKey.leastSecret } },
    remedy: "a secret of at least 32 bytes, or several on lines of their own")

  static func secrets(_ text: String) -> [Substring] { text.split(whereSeparator: \.isNewline) }
  static let keys = Setting(
    "auth.jwks", default: "",
    "Public keys of tokens that are signed with RS256 or ES256: a file or an http(s) URL of a JSON Web Key Set.")
  static let refresh = Setting(
    "auth.jwks-refresh", default: Duration.seconds(300),
    "How often the keys are read again. A token with an unknown key has them read at once, every 10 s at most.",
    accepts: { $0 >= .seconds(1) }, remedy: "a duration of at least 1s")
  static let issuer = Setting("auth.issuer", default: "annals", "The issuer (iss) that each token must have.")
  static let audience = Setting("auth.audience", default: "annals", "The audience (aud) that each token must have.")
  static let leeway = Setting(
    "auth.leeway", default: Duration.seconds(60), "How much the clocks of the issuer and of this machine may differ.",
    accepts: { $0 >= .zero && $0 <= .seconds(600) }, remedy: "a duration from 0s to 10m")
  static let roles = Setting("auth.roles-claim", default: "roles", "The claim with the caller's roles.")
  static let groups = Setting("auth.groups-claim", default: "groups", "The claim with the caller's groups.")
  static let trustsAddresses = Setting(
    "auth.trust-unverified-email", default: false,
    "Take the address of a token without email_verified for the caller's. Only for an issuer that confirms every address."
  )
  static let defaultRole = Setting(
    "auth.default-role", default: Role.user, "The role of a token that names none of admin, user, guest, auditor.")

  public static let all: [SettingDescription] = [
    mode.description, secret.description, keys.description, refresh.description, issuer.description,
    audience.description, leeway.description, roles.description, groups.description, trustsAddresses.description,
    defaultRole.description,
  ]
}

extension Role: ArgumentValue {}
