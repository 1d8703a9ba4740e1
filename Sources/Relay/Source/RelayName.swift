import Postgres
import Schema

/// The lock on a relay's name: one relay of a name works, others stand by.
enum RelayName {
  private static let claim = Query("claim_relay", Schema.claimRelay)
  private static let join = Query("join_relay", Schema.joinRelay)

  /// Locks the relay's name for this session; false while another session holds it.
  static func claim(_ name: String, _ session: PostgresSession) async throws -> Bool {
    try await session.query(claim, [.text(name)]).first?.get(0) ?? false
  }

  /// Locks one shard of the relay's name. Other sessions may lock other shards, but not the whole name.
  static func claim(_ name: String, shard: Int, _ session: PostgresSession) async throws -> Bool {
    guard try await session.query(join, [.text(name)]).first?.get(0, as: Bool.self) == true else { return false }
    return try await claim("\(name)/\(shard)", session)
  }
}
