import Base64
import Crypto
import HTTPServer
import Redis
import Synchronization

/// The key of seals, the same in all processes: whoever needs it first makes it, in Redis. A Redis that has lost it gets another
/// one, which everybody uses within moments.
public final class SealKey: Sendable {
  private let known = Mutex<(key: [UInt8], at: ContinuousClock.Instant)?>(nil)

  /// How long a key is used without a look.
  private static let lifetime = Duration.seconds(10)

  /// - Parameter isFresh: A seal did not fit: the key may be another one by now.
  func key(_ redis: RedisClient, prefix: String, isFresh: Bool = false) async throws -> [UInt8] {
    if !isFresh, let known = known.withLock({ $0 }), .now - known.at < Self.lifetime { return known.key }
    let name = "\(prefix)seal-key"
    _ = try await redis.command(RedisCommand("SET", name, Base64.url(Secrets.random(32)), "NX"))
    let text = try await redis.command(RedisCommand("GET", name)).bytes ?? []
    guard let key = Base64.decodeURL(text), key.count == 32 else { throw Problem.unavailable("Redis") }
    known.withLock { $0 = (key, .now) }
    return key
  }
}
