public import Configuration
import HTTPServer
import JSON
import JWT
import Lifecycle
import Logging
import Reactor
import Time

/// Who calls, and who may: tokens, roles and rights.
public struct Identities: Feature {
  public let name = "identity"
  /// The process serves documents: without a key for tokens it has nothing to do.
  private let needsKeys: Bool

  /// - Parameter needsKeys: A process that has no key to check tokens with does not start.
  public init(needsKeys: Bool) { self.needsKeys = needsKeys }

  public var settings: [SettingDescription] { IdentitySettings.all }

  public var connections: Connections { [] }

  public func prepare(_ context: Context) async throws {
    let isDevelopment = context.settings[IdentitySettings.mode] == .development
    if isDevelopment {
      context.logger.warning(
        "auth.mode is development: everybody who reaches this process may do everything",
        metadata: ["remedy": "set auth.mode=tokens, and auth.jwks or auth.secret"])
    }
    let hasKeys = context.keys.hasSecret || !context.keys.place.isEmpty
    guard isDevelopment || hasKeys || !needsKeys else { throw NoKeys() }
    // A set that cannot be read keeps nobody from starting: it is read again.
    if !context.keys.place.isEmpty { try? await context.keys.read(context.http) }
  }

  public func workers(_ context: Context) throws -> [any Worker] {
    context.keys.place.isEmpty ? [] : [KeyReading(context: context)]
  }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    // A process with routes of its own for operators alone must not get an API by this one.
    needsKeys && context.settings[IdentitySettings.mode] == .development
      ? [DevelopmentTokens(settings: context.settings).group] : []
  }

  public func checks(_ context: Context) throws -> [Check] {
    [
      Check("Secrets", isPublic: true) {
        let problems = context.settings.secretProblems
        guard problems.isEmpty else {
          throw CheckProblem(
            problems.map { "\($0.key): its file is not \($0.problem); what it had before is used" }.joined(
              separator: "; "))
        }
        return "as their files have them"
      },
      Check("Identity", isPublic: true) {
        guard context.keys.problem == nil else {
          throw CheckProblem("the keys for tokens (auth.jwks) cannot be read; the log says why")
        }
        switch context.settings[IdentitySettings.mode] {
        case .development: return "development: without a token everybody may do everything"
        case .tokens: return "tokens, \(context.keys.ring.keys.keys.count) keys"
        }
      },
    ]
  }
}

/// A process that could let nobody in does not start.
struct NoKeys: Error, CustomStringConvertible {
  let description =
    "there is no key to check tokens with: set auth.jwks to the issuer's key set, or auth.secret to a shared secret. "
    + "To work without tokens, on a machine that nobody else reaches, ask for it: auth.mode=development"
}

/// Reads the keys again and again.
private struct KeyReading: Worker {
  let name = "identity-keys"
  let context: Context

  func run(until stop: StopSignal) async throws {
    try await stop.cancels {
      try await context.keys.follow(context.http, on: context.reactor, logger: context.logger)
    }
  }

  var problem: String? {
    get async { context.keys.problem == nil ? nil : "the keys for tokens cannot be read; the log says why" }
  }
}

/// Tokens for trying things out.
public struct DevelopmentTokens: Sendable {
  private let secret: [UInt8]
  private let keyID: String?
  private let issuer: String
  private let audience: String
  private let roles: String
  private let groups: String
  /// What a token without another wish lasts.
  public static let lifetime = Duration.seconds(12 * 3_600)

  public init(settings: Configuration) {
    // In development the installation's own secret signs nothing: anybody gets a token there.
    let isDevelopment = settings[IdentitySettings.mode] == .development
    secret =
      isDevelopment
      ? TrustedKeys.developmentSecret
      : Array((IdentitySettings.secrets(settings[IdentitySettings.secret]).first ?? "").utf8)
    keyID = isDevelopment ? TrustedKeys.developmentKey : nil
    (issuer, audience) = (settings[IdentitySettings.issuer], settings[IdentitySettings.audience])
    (roles, groups) = (settings[IdentitySettings.roles], settings[IdentitySettings.groups])
  }

  /// - Parameter lifetime: How long it is valid from now on. A negative one makes a token that has expired.
  public func token(
    subject: String, email: String? = nil, roles: [Role] = [], groups: [String] = [], lifetime: Duration = lifetime
  ) -> String {
    let now = Timestamp.now().microseconds / 1_000_000
    var claims: [JSONObject.Member] = [
      .init(name: "iss", value: .string(issuer)), .init(name: "aud", value: .string(audience)),
      .init(name: "sub", value: .string(subject)), .init(name: "iat", value: .integer(now)),
      .init(name: "exp", value: .integer(now + lifetime.components.seconds)),
    ]
    if let email {
      claims.append(.init(name: "email", value: .string(email)))
      claims.append(.init(name: "email_verified", value: true))
    }
    if !roles.isEmpty {
      claims.append(.init(name: self.roles, value: .array(roles.map { .string($0.rawValue) })))
    }
    if !groups.isEmpty { claims.append(.init(name: self.groups, value: .array(groups.map { .string($0) }))) }
    return WebToken.sign(.object(JSONObject(claims)), secret: secret, keyID: keyID)
  }

  var group: RouteGroup {
    RouteGroup(
      "Tokens", prefixes: [""],
      routes: [
        Route(
          .get, "/auth/token", "A token for anybody, in development only.", right: .anyone, ignoresQuery: true,
          answers: [Answer(200, "The token.", schema: Self.schema)],
          Input<ActorName?>(query: "user_id", "The token's subject."),
          Input<ActorName?>(query: "email", "The token's address.")
        ) { _, user, email in
          guard let user else {
            throw Problem(
              400, "Malformed query", detail: "user_id is missing: whose token shall it be?", field: "user_id")
          }
          var writer = JSONWriter()
          writer.object {
            $0.member("access_token", token(subject: user.text, email: email?.text))
            $0.member("token_type", "bearer")
            $0.member("user_id", user.text)
            $0.member("email", orNull: email?.text)
          }
          return .json(writer.bytes)
        }
      ])
  }

  private static let schema = JSONSchema.object([
    .init("access_token", .string()), .init("token_type", .string()), .init("user_id", .string()),
    .init("email", .nullable(.string())),
  ])
}
