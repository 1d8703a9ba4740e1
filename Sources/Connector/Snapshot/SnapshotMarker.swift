import Postgres
import Relay

/// A slot beside a connector's own while the initial snapshot is not finished. It retains no WAL, and needs no table.
struct SnapshotMarker {
  let slot: ReplicationSlot

  private var name: String { "\(slot.name.prefix(54))_snapshot" }

  /// True if the initial snapshot is not finished.
  func isSet(_ session: PostgresSession) async throws -> Bool {
    guard let state = try await SlotState.read(name, session) else { return false }
    guard state.isPhysical else {
      throw ReplicationError.foreignSlot(
        name, reason: "it is no marker of an unfinished snapshot, but a logical slot")
    }
    return true
  }

  func set(_ session: PostgresSession) async throws {
    guard try await !isSet(session) else { return }
    try await session.execute(
      "select pg_create_physical_replication_slot(\(quotedLiteral(name)))", name: "marking the slot as unfinished")
  }

  func remove(_ session: PostgresSession) async throws {
    try await session.execute(
      "select pg_drop_replication_slot(\(quotedLiteral(name)))", name: "marking the slot as ready")
  }
}
