import HTTPServer
import Identifiers
import Logging
import Reactor
import Redis
import Synchronization

/// Wrong passwords of links: logged, and limited for each link, by whomever they come.
final class LinkFailures: Sendable {
  private let redis: RedisClient
  private let prefix: String
  private let logger: Logger
  /// Links whose password is being checked in this reactor: one at a time.
  private let busy: Mutex<Set<UUID>> = Mutex([])

  private static let most: Int64 = 10
  private static let mostWaits = 60
  /// In seconds.
  private static let period = 900

  init(_ redis: RedisClient, prefix: String, logger: Logger) {
    (self.redis, self.prefix, self.logger) = (redis, prefix, logger)
  }

  /// - Parameter password: nil: none was sent.
  /// - Throws: A problem with status 401, or 429 after too many failures.
  func check(
    _ link: UUID, _ password: String?, from address: String, on reactor: Reactor,
    _ isRight: (String) async throws -> Bool
  ) async throws {
    // A browser asks for it then.
    guard let password else { throw Self.unauthorized }
    var waits = 0
    while !busy.withLock({ $0.insert(link).inserted }) {
      guard waits < Self.mostWaits else { throw Self.tooMany(1, "the link's password is being checked") }
      waits += 1
      try await reactor.sleep(for: .milliseconds(50))
    }
    defer { busy.withLock { _ = $0.remove(link) } }
    let key = "\(prefix)link-failures:\(link)"
    let failures = try await redis.command(RedisCommand("GET", key)).text.flatMap { Int64($0) } ?? 0
    guard failures < Self.most else {
      throw Self.tooMany(Self.period, "the link's password was wrong \(Self.most) times within a quarter of an hour")
    }
    guard try await !isRight(password) else { return }
    logger.warning("A link's password is wrong", metadata: ["link": "\(link)", "client": address])
    _ = try await redis.pipeline([RedisCommand("INCR", key), RedisCommand("EXPIRE", key, "\(Self.period)")])
    throw Self.unauthorized
  }

  private static let unauthorized = Problem(
    401, "Unauthorized", detail: "the link has a password: send it as “Authorization: Basic”, with any user",
    field: "Authorization", headers: [("WWW-Authenticate", #"Basic realm="link", charset="UTF-8""#)])

  private static func tooMany(_ seconds: Int, _ detail: String) -> Problem {
    Problem(429, "Too many requests", detail: "\(detail): try again later", headers: [("Retry-After", "\(seconds)")])
  }
}
