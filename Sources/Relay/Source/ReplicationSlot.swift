package import Logging
public import Postgres
import Reactor
import Schema

/// The relay's slot and publication in the database.
package struct ReplicationSlot {
  package let name: String
  package let publication: String

  static let state = Query("slot_state", Schema.slotState)
  package static let publicationExists = Query("publication_exists", Schema.publicationExists)
  static let hasRegistry = Query("has_registry", Schema.hasRegistry)
  static let registered = Query("slot_registered", Schema.slotRegistered)
  static let register = Query("register_slot", Schema.registerSlot)

  package func hasPublication(_ session: PostgresSession) async throws -> Bool {
    try await !session.query(Self.publicationExists, [.text(publication)]).isEmpty
  }

  /// The slot's state; nil if there is none of this name.
  ///
  /// - Throws: `ReplicationError.foreignSlot` if the name belongs to a slot that a relay of this database cannot have made.
  package func state(_ session: PostgresSession) async throws -> SlotState? {
    guard let state = try await SlotState.read(name, session) else { return nil }
    guard state.foreign.isEmpty else { throw ReplicationError.foreignSlot(name, reason: state.foreign) }
    return state
  }

  /// Creates the slot; drops an existing one first. The returned snapshot sees exactly what was committed before the
  /// slot's start. It is valid until `replication` runs another command.
  func create(
    _ session: PostgresSession, over replication: PostgresSession, isTemporary: Bool = false
  ) async throws -> (start: LogSequenceNumber, snapshot: String) {
    if try await state(session) != nil {
      // Refused while another relay uses it.
      try await session.execute("select pg_drop_replication_slot(\(quotedLiteral(name)))", name: "dropping the slot")
    }
    // The server waits for every transaction that runs, however long.
    let rows = try await replication.execute(
      "CREATE_REPLICATION_SLOT \(quotedIdentifier(name)) \(isTemporary ? "TEMPORARY " : "")LOGICAL pgoutput "
        + "(SNAPSHOT 'export')", name: "CREATE_REPLICATION_SLOT", isPatient: true)
    guard let row = rows.first, row.count >= 3, let start = row[1].flatMap({ LogSequenceNumber($0) }),
      let snapshot = row[2]
    else { throw ReplicationError.outOfPlace("a slot without a snapshot") }
    return (start, snapshot)
  }

  // MARK: The memory of a connector's slot

  /// True if a relay has read this slot before. Without the schema of Annals nothing is remembered.
  ///
  /// - Throws: `ReplicationError.foreignSlot` if the name is that of a relay with another feed.
  package func isRemembered(as feed: FeedKind, _ session: PostgresSession) async throws -> Bool {
    guard try await session.query(Self.hasRegistry).first?.get(0, as: Bool.self) == true,
      let row = try await session.query(Self.registered, [.text(name)]).first
    else { return false }
    let known = try row.get(0, as: String.self)
    guard known == feed.rawValue else {
      throw ReplicationError.foreignSlot(
        name,
        reason: "a relay of that name reads \(known == FeedKind.outbox.rawValue ? "the outbox" : "tables of others")")
    }
    return try row.get(1)
  }

  package func remember(_ session: PostgresSession, logger: Logger) async throws {
    guard try await session.query(Self.hasRegistry).first?.get(0, as: Bool.self) == true else {
      logger.warning(
        "A slot that is dropped will be taken for a first start: run annals migrate and grant annals_relay",
        metadata: ["slot": name])
      return
    }
    try await session.query(Self.register, [.text(name)])
  }

  /// Advances the slot on the server, which costs less than sending the WAL in between.
  func advance(to position: LogSequenceNumber, over session: PostgresSession, on reactor: Reactor) async throws {
    var backoff = Backoff(first: .milliseconds(10), limit: .milliseconds(500))
    let deadline = ContinuousClock.now + .seconds(10)
    while true {
      let failure: PostgresError
      do {
        try await session.execute(
          "select pg_replication_slot_advance(\(quotedLiteral(name)), '\(position)')", name: "moving the slot")
        return
      } catch { failure = error }
      guard case .server(let error) = failure else { throw failure }
      // Statement timeout. The stream then skips the WAL before the position itself, more slowly.
      if error.sqlState == "57014" { return }
      // The server has not noticed yet that the stream is closed.
      guard error.sqlState == "55006", .now < deadline else { throw failure }
      try await reactor.sleep(for: backoff.next())
    }
  }
}

/// The word for a feed in annals.relays.
package enum FeedKind: String { case outbox, tables }

/// State of a replication slot in Postgres.
public struct SlotState: Sendable {
  public let isActive: Bool
  public let activePID: Int
  public let restart: LogSequenceNumber?
  public let confirmed: LogSequenceNumber?
  /// `reserved`, `extended`, `unreserved` or `lost`.
  public let walStatus: String
  /// WAL that has not been confirmed, in bytes.
  public let lag: Int
  /// WAL that the server retains for the slot, in bytes.
  public let retained: Int
  package let isPhysical: Bool
  /// Why no relay of this database can have made it; empty if one can.
  public let foreign: String

  /// Reads a slot's state; nil if the slot does not exist.
  public static func read(_ slot: String, _ session: PostgresSession) async throws(PostgresError) -> SlotState? {
    guard let row = try await session.query(ReplicationSlot.state, [.text(slot)]).first else { return nil }
    return SlotState(
      isActive: try row.get(0), activePID: try row.get(1), restart: try row.optional(2),
      confirmed: try row.optional(3), walStatus: try row.get(4), lag: try row.optional(5) ?? 0,
      retained: try row.optional(6) ?? 0, isPhysical: try row.get(8), foreign: try row.get(7))
  }
}
