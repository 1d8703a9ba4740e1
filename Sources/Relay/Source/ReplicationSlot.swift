import Logging
public import Postgres
import Schema

/// The relay's slot and publication in the database.
struct ReplicationSlot {
  let name: String
  let publication: String

  static let state = Query("slot_state", Schema.slotState)
  static let publicationExists = Query("publication_exists", Schema.publicationExists)

  /// Makes what is missing, on the first run. The slot comes last: it must not stand without its publication.
  func createIfMissing(_ session: PostgresSession, logger: Logger) async throws {
    if try await session.query(Self.publicationExists, [.text(publication)]).isEmpty {
      try await session.execute(
        """
        create publication \(quotedIdentifier(publication)) for table annals.outbox
          with (publish = 'insert', publish_via_partition_root = true)
        """, name: "creating the publication")
      logger.notice("Publication created", metadata: ["publication": publication])
    }
    if try await session.query(Self.state, [.text(name)]).isEmpty {
      try await session.execute(
        "select pg_create_logical_replication_slot(\(quotedLiteral(name)), 'pgoutput')",
        name: "creating the replication slot")
      logger.notice("Replication slot created", metadata: ["slot": name])
    }
  }
}

/// What Postgres says of a replication slot.
public struct SlotState: Sendable {
  public let isActive: Bool
  public let activePID: Int
  public let restart: LogSequenceNumber?
  public let confirmed: LogSequenceNumber?
  /// `reserved`, `extended`, `unreserved` or `lost`.
  public let walStatus: String
  /// WAL that has not been confirmed, in bytes.
  public let lag: Int
  /// WAL that the server keeps for the slot, in bytes.
  public let retained: Int

  /// Asks for a slot; nil where there is none.
  public static func read(_ slot: String, _ session: PostgresSession) async throws(PostgresError) -> SlotState? {
    guard let row = try await session.query(ReplicationSlot.state, [.text(slot)]).first else { return nil }
    return SlotState(
      isActive: try row.get(0), activePID: try row.get(1), restart: try row.optional(2),
      confirmed: try row.optional(3), walStatus: try row.get(4), lag: try row.optional(5) ?? 0,
      retained: try row.optional(6) ?? 0)
  }
}
