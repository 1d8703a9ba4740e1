import Postgres
import Schema

/// The registry of the outbox's readers (annals.relays): rows are kept until all of them have read them.
extension ReplicationSlot {
  private static let isReady = Query("relay_slot_ready", Schema.relaySlotReady)
  private static let record = Query("record_relay_slot", Schema.recordRelaySlot)
  private static let unready = Query("unready_relay_slot", Schema.unreadyRelaySlot)

  /// True if the slot exists and everything committed before its start has been published.
  func isReady(_ session: PostgresSession) async throws -> Bool {
    guard try await state(session) != nil else { return false }
    return try await !session.query(Self.isReady, [.text(name)]).isEmpty
  }

  /// Registers the relay. Before its slot is created again: records that the changes that the slot does not cover must be
  /// published first.
  ///
  /// - Parameter source: `wal` or `table`.
  func recordUnready(_ session: PostgresSession, source: String) async throws(PostgresError) {
    try await session.query(Self.unready, [.text(name), .text(source)])
  }

  func recordReady(_ session: PostgresSession, start: LogSequenceNumber) async throws {
    let recorded = try await session.query(Self.record, [.text(name), .lsn(start)])
    guard !recorded.isEmpty else { throw ReplicationError.displaced(relay: name) }
  }
}
