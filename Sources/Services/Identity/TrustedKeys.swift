public import Configuration
import Files
public import HTTPClient
import JWT
public import Logging
public import Reactor
import Synchronization

/// The keys that tokens are checked with, in all reactors of a process. Reading them again never holds up a request: the last
/// ones are used until there are new ones.
public final class TrustedKeys: Sendable {
  static let developmentKey = "development"
  /// Signs tokens of development, where nothing is protected anyway.
  static let developmentSecret = Array("annals-development-only-not-a-secret".utf8)

  private struct State {
    var ring: KeyRing
    /// Those of the set, and its text.
    var others: [WebKey] = []
    var set: [UInt8] = []
    /// The secrets that `ring` has.
    var secrets: String
    /// Why the set could not be read the last time.
    var problem: String?
    /// A token named a key that is not there.
    var isWanted = false
  }
  private let state: Mutex<State>
  private let settings: Configuration
  private let development: [WebKey]
  /// A file or an URL; empty: there is none.
  let place: String
  private let refresh: Duration
  private let pause: Duration
  /// A key set is small.
  private static let maximumSize = 1 << 20

  /// - Parameter pause: Between two readings that unknown keys cause.
  public init(_ settings: Configuration, pause: Duration = .seconds(10)) {
    self.pause = pause
    self.settings = settings
    let isDevelopment = settings[IdentitySettings.mode] == .development
    development = [isDevelopment ? WebKey(secret: Self.developmentSecret, id: Self.developmentKey) : nil].compactMap(
      \.self)
    let secrets = settings[IdentitySettings.secret]
    place = settings[IdentitySettings.keys]
    refresh = settings[IdentitySettings.refresh]
    state = Mutex(
      State(
        ring: Self.ring(secrets, development), secrets: secrets, problem: place.isEmpty ? nil : "not read yet"))
  }

  private static func ring(_ secrets: String, _ others: [WebKey]) -> KeyRing {
    KeyRing(WebKeys(IdentitySettings.secrets(secrets).compactMap { WebKey(secret: Array($0.utf8)) } + others))
  }

  /// Keys to check tokens with.
  var ring: KeyRing {
    let secrets = settings[IdentitySettings.secret]
    return state.withLock { state in
      if state.secrets != secrets {
        state.secrets = secrets
        state.ring = Self.ring(secrets, development + state.others)
      }
      return state.ring
    }
  }
  public var problem: String? { state.withLock { $0.problem } }
  public var hasSecret: Bool { !settings[IdentitySettings.secret].isEmpty || !development.isEmpty }

  /// Has the set read soon: somebody has a key that it does not have.
  func want() { state.withLock { $0.isWanted = true } }

  /// Reads the set once. What was read before stays if that fails.
  public func read(_ http: HTTPClient) async throws {
    do {
      let set = try await bytes(http)
      let keys = try WebKeys(set: set).keys
      state.withLock { state in
        state.problem = nil
        // Without a change, the ring keeps the tokens that it knows.
        guard state.set != set else { return }
        (state.others, state.set) = (keys, set)
        state.ring = Self.ring(state.secrets, development + keys)
      }
    } catch {
      state.withLock { $0.problem = "\(place): \(error)" }
      throw error
    }
  }

  private func bytes(_ http: HTTPClient) async throws -> [UInt8] {
    guard place.hasPrefix("http://") || place.hasPrefix("https://") else {
      return try await Reactor.offLoop { [place] () throws(FileError) in try File.read(place, limit: Self.maximumSize) }
    }
    let response = try await http.send(
      HTTPRequest(.get, place, headers: [("Accept", "application/json")], maximumResponse: Self.maximumSize))
    guard response.status == 200 else { throw KeysNotRead(status: response.status) }
    return response.body
  }

  /// Reads the set again and again, until the task is cancelled.
  public func follow(_ http: HTTPClient, on reactor: Reactor, logger: Logger) async throws {
    var backoff = Backoff(first: .seconds(1), limit: .seconds(60))
    while !Task.isCancelled {
      state.withLock { $0.isWanted = false }
      let start = ContinuousClock.now
      var wait = refresh
      do {
        try await read(http)
        backoff.reset()
      } catch {
        logger.warning("The keys for tokens cannot be read", metadata: ["jwks": place, .error: "\(error)"])
        wait = min(refresh, backoff.next())
      }
      while .now - start < wait {
        try await reactor.sleep(for: min(.milliseconds(500), wait))
        if .now - start >= pause, state.withLock({ $0.isWanted }) { break }
      }
    }
  }
}

struct KeysNotRead: Error, CustomStringConvertible {
  let status: Int
  var description: String { "it was answered with status \(status)" }
}
