import Configuration
import Glibc
import HTTPServer
import JSON
import JWT
import Lifecycle
import Reactor
import Services
import Support
import Synchronization
import Testing
import Time

/// The P-256 key of RFC 7515, appendix A.3, and a token of an auditor “jane” that it has signed, valid until the year 2100.
private let keySet =
  #"{"keys":[{"kty":"EC","kid":"ec","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#
  + #""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#
private let token =
  "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImVjIn0."
  + "eyJpc3MiOiAiYW5uYWxzIiwgImF1ZCI6ICJhbm5hbHMiLCAic3ViIjogImphbmUiLCAiZXhwIjogNDEwMjQ0NDgwMCwgInJvbGVzIjogWyJhdWRpdG9yIl19"
  + ".mx2S2c9v1oPBwGWYrKSY86RLfrjWaUvo-vBSeV9otjL3m4SFQkTh5fXTtr4KlIgR6MzGca-USEiPIge1deCJqw"

@Suite("The keys for tokens", .workLimit(minutes: 1)) struct TrustedKeysTests {
  /// Who the token is to a process that has read its keys; nil: it is refused.
  private func caller(_ settings: Configuration, _ keys: TrustedKeys) -> Caller? {
    do { return try Authenticator(settings, keys: keys).caller(token: token) } catch { return nil }
  }

  @Test("are read from a file; a newer file is taken, a broken one leaves the last keys and says so")
  func file() async throws {
    try await withRoutes { context, _ in
      let path = "\(Stack.temporaryFolder)/\(Stack.uniqueName("jwks")).json"
      defer { unlink(path) }
      func write(_ text: String) {
        let file = fopen(path, "w")
        fputs(text, file!)
        fclose(file!)
      }
      let settings = try Configuration(IdentitySettings.all, environment: ["ANNALS_AUTH_JWKS": path])
      let keys = TrustedKeys(settings)
      #expect(caller(settings, keys) == nil)
      await #expect(throws: (any Error).self) { try await keys.read(context.http) }
      write(keySet.replacing(#""ec""#, with: #""older""#))
      try await keys.read(context.http)
      #expect(caller(settings, keys) == nil && keys.problem == nil)
      write(keySet)
      try await keys.read(context.http)
      let jane = try #require(caller(settings, keys))
      #expect(jane.actor == "jane" && jane.roles == [.auditor] && jane.expires == 4_102_444_800)
      for broken in ["", "{", #"{"keys":[]}"#, #"{"keys":{}}"#, "[]"] {
        write(broken)
        await #expect(throws: (any Error).self) { try await keys.read(context.http) }
        #expect(caller(settings, keys) != nil && keys.problem?.contains(path) == true)
      }
      // It was good, and its key is taken away.
      write(keySet.replacing(#""ec""#, with: #""older""#))
      try await keys.read(context.http)
      #expect(caller(settings, keys) == nil)
    }
  }

  @Test("find a token good once: it is known then, byte by byte, and until it ends") func known() async throws {
    let secret = "0123456789abcdef0123456789abcdef"
    let settings = try Configuration(
      IdentitySettings.all, environment: ["ANNALS_AUTH_SECRET": secret, "ANNALS_AUTH_LEEWAY": "0s"])
    let authenticator = Authenticator(settings, keys: TrustedKeys(settings))
    func name(_ token: String) -> String? { (try? authenticator.caller(token: token))?.actor }
    @Sendable func isGood(_ token: String) -> Bool { (try? authenticator.caller(token: token)) != nil }
    func signed(_ subject: String, until expires: Int64) -> String {
      let claims = #"{"iss":"annals","aud":"annals","sub":"\#(subject)","exp":\#(expires)}"#
      return WebToken.sign(try! JSONValue(parsing: Array(claims.utf8)), secret: Array(secret.utf8))
    }
    let now = Timestamp.now().microseconds / 1_000_000
    // More than are kept.
    let tokens = (0..<3_000).map { signed("user-\($0)", until: now + 600) }
    for _ in 0..<2 { for (number, token) in tokens.enumerated() { #expect(name(token) == "user-\(number)") } }
    // For Swift's strings these two are equal.
    let token = try #require(tokens.first { $0.contains("K") })
    let other = token.replacing("K", with: "\u{212A}", maxReplacements: 1)
    #expect(other == token && isGood(token) && !isGood(other))
    #expect(!isGood(String(tokens[0].dropLast())) && !isGood(tokens[0] + "A"))
    let short = signed("jane", until: now + 3)
    #expect(isGood(short))
    try await withReactor { reactor in try await eventually("it has ended", on: reactor) { !isGood(short) } }
    #expect(Timestamp.now().microseconds / 1_000_000 >= now + 3)
  }

  @Test("are read from a URL by the worker, again for a token whose key is not among them, while requests go on")
  func url() async throws {
    try await withRoutes { context, _ in
      let (stop, port) = (StopSignal(), Stack.uniquePort())
      let served = Mutex((set: keySet.replacing(#""ec""#, with: #""older""#), count: 0))
      let route = Route(.get, "/keys", "Keys.", right: .anyone, answers: []) { _ in
        served.withLock {
          $0.count += 1
          return $0.set.isEmpty ? Response(503) : .json(Array($0.set.utf8))
        }
      }
      let service = try HTTPService(HTTPServerOptions(port: UInt16(port)), contexts: [context]) { _ in
        [RouteGroup("Test", prefixes: [""], routes: [route])]
      }
      let serving = Task(executorPreference: context.reactor) { try await service.run(until: stop) }
      let settings = try Configuration(
        IdentitySettings.all,
        environment: ["ANNALS_AUTH_JWKS": "http://127.0.0.1:\(port)/keys", "ANNALS_AUTH_JWKS_REFRESH": "1h"])
      let keys = TrustedKeys(settings, pause: .milliseconds(100))
      let following = Task(executorPreference: context.reactor) {
        try await keys.follow(context.http, on: context.reactor, logger: quiet)
      }
      try await eventually("the keys are read", on: context.reactor) { keys.problem == nil }
      served.withLock { $0.set = keySet }
      try await eventually("the token is good", on: context.reactor) { caller(settings, keys) != nil }
      let count = served.withLock { $0.count }
      #expect(caller(settings, keys) != nil)
      #expect(served.withLock { $0.count } == count, "a known key is not asked for")
      following.cancel()
      _ = await following.result
      served.withLock { $0.set = "" }
      await #expect(throws: (any Error).self) { try await keys.read(context.http) }
      #expect(caller(settings, keys) != nil && keys.problem?.contains("503") == true)
      stop.signal()
      try await serving.value
    }
  }
}
