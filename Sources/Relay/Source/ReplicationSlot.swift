import Logging
public import Postgres
import Schema

/// The relay's slot and publication in the database.
struct ReplicationSlot {
  let name: String
  let publication: String

  static let state = Query("slot_state", Schema.slotState)
  static let publicationExists = Query("publication_exists", Schema.publicationExists)
  static let userTables = Query("user_tables", Schema.userTables)
  static let hasRegistry = Query("has_registry", Schema.hasRegistry)
  static let registered = Query("slot_registered", Schema.slotRegistered)
  static let register = Query("register_slot", Schema.registerSlot)
  static let isReady = Query("relay_slot_ready", Schema.relaySlotReady)
  static let record = Query("record_relay_slot", Schema.recordRelaySlot)
  static let unready = Query("unready_relay_slot", Schema.unreadyRelaySlot)

  func createOutboxPublicationIfMissing(_ session: PostgresSession, logger: Logger) async throws {
    guard try await session.query(Self.publicationExists, [.text(publication)]).isEmpty else { return }
    try await session.execute(
      """
      create publication \(quotedIdentifier(publication)) for table annals.outbox
        with (publish = 'insert', publish_via_partition_root = true)
      """, name: "creating the publication")
    logger.notice("Publication created", metadata: ["publication": publication])
  }

  /// Creates the publication for the tables that `publication.autocreate.mode` selects. One that exists gets the tables that
  /// it lacks, if it is `filtered`: others may use it too, so none is taken away, and the encoder leaves out what is not sent.
  func preparePublication(
    _ connector: ConnectorOptions, _ session: PostgresSession, logger: Logger
  ) async throws {
    let name = quotedIdentifier(publication)
    if let all = try await session.query(Self.publicationExists, [.text(publication)]).first {
      guard connector.publicationMode == .filtered, try !all.get(2, as: Bool.self) else { return }
      return try await addTables(of: connector, session, logger: logger)
    }
    switch connector.publicationMode {
    case .disabled: throw ReplicationError.publicationMissing(publication)
    case .allTables:
      try await session.execute("create publication \(name) for all tables", name: "creating the publication")
    case .filtered:
      let chosen = try await tables(of: connector, session).map(\.quoted)
      guard !chosen.isEmpty else { throw ReplicationError.noTables(publication) }
      try await session.execute(
        "create publication \(name) for table \(chosen.joined(separator: ", "))", name: "creating the publication")
    }
    logger.notice("Publication created", metadata: ["publication": publication])
  }

  private func addTables(of connector: ConnectorOptions, _ session: PostgresSession, logger: Logger) async throws {
    let present = Set(
      try await session.query(TableSnapshot.publishedTables, [.text(publication)]).map {
        "\(try $0.get(1, as: String.self)).\(try $0.get(2, as: String.self))"
      })
    // A partition may be published by its root.
    let missing = try await tables(of: connector, session).filter { !$0.isPartition && !present.contains($0.name) }
    guard !missing.isEmpty else { return }
    let names = missing.map(\.name).joined(separator: ", ")
    let failure: PostgresError?
    do throws(PostgresError) {
      try await session.execute(
        "alter publication \(quotedIdentifier(publication)) add table \(missing.map(\.quoted).joined(separator: ", "))",
        name: "extending the publication")
      failure = nil
    } catch { failure = error }
    guard let failure else {
      logger.notice("Publication extended", metadata: ["publication": publication, "tables": names])
      return
    }
    guard case .server(let error) = failure, error.sqlState == "42501" else { throw failure }
    logger.error(
      "Tables of the include list are not in the publication, and this role may not add them: nothing of them is sent",
      metadata: ["publication": publication, "tables": names])
  }

  private func tables(
    of connector: ConnectorOptions, _ session: PostgresSession
  ) async throws -> [(name: String, quoted: String, isPartition: Bool)] {
    let matcher = try TableMatcher(connector)
    var chosen: [(name: String, quoted: String, isPartition: Bool)] = []
    for row in try await session.query(Self.userTables) {
      let (schema, table) = (try row.get(0, as: String.self), try row.get(1, as: String.self))
      guard matcher.contains(schema: schema, table: table) else { continue }
      chosen.append(
        ("\(schema).\(table)", "\(quotedIdentifier(schema)).\(quotedIdentifier(table))", try row.get(2, as: Bool.self)))
    }
    return chosen
  }

  /// Name of a physical slot that retains no WAL. It exists while the initial snapshot is not finished.
  var marker: String { "\(name.prefix(54))_snapshot" }

  /// True if the initial snapshot is not finished.
  func isMarked(_ session: PostgresSession) async throws -> Bool {
    guard let state = try await SlotState.read(marker, session) else { return false }
    guard state.isPhysical else {
      throw ReplicationError.foreignSlot(
        marker, reason: "it is no marker of an unfinished snapshot, but a logical slot")
    }
    return true
  }

  func mark(_ session: PostgresSession) async throws {
    guard try await !isMarked(session) else { return }
    try await session.execute(
      "select pg_create_physical_replication_slot(\(quotedLiteral(marker)))", name: "marking the slot as unfinished")
  }

  func unmark(_ session: PostgresSession) async throws {
    try await session.execute(
      "select pg_drop_replication_slot(\(quotedLiteral(marker)))", name: "marking the slot as ready")
  }

  /// The slot's state; nil if there is none of this name.
  ///
  /// - Throws: `ReplicationError.foreignSlot` if the name belongs to a slot that a relay of this database cannot have made.
  func state(_ session: PostgresSession) async throws -> SlotState? {
    guard let state = try await SlotState.read(name, session) else { return nil }
    guard state.foreign.isEmpty else { throw ReplicationError.foreignSlot(name, reason: state.foreign) }
    return state
  }

  /// True if the slot exists and everything committed before its start has been published.
  func isReady(_ session: PostgresSession) async throws -> Bool {
    guard try await state(session) != nil else { return false }
    return try await !session.query(Self.isReady, [.text(name)]).isEmpty
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
  /// - Parameter feed: `outbox` or `tables`.
  /// - Throws: `ReplicationError.foreignSlot` if the name is that of a relay with another feed.
  func isRemembered(as feed: String, _ session: PostgresSession) async throws -> Bool {
    guard try await session.query(Self.hasRegistry).first?.get(0, as: Bool.self) == true,
      let row = try await session.query(Self.registered, [.text(name)]).first
    else { return false }
    let known = try row.get(0, as: String.self)
    guard known == feed else {
      throw ReplicationError.foreignSlot(
        name, reason: "a relay of that name reads \(known == "outbox" ? "the outbox" : "tables of others")")
    }
    return try row.get(1)
  }

  func remember(_ session: PostgresSession, logger: Logger) async throws {
    guard try await session.query(Self.hasRegistry).first?.get(0, as: Bool.self) == true else {
      logger.warning(
        "A slot that is dropped will be taken for a first start: run annals migrate and grant annals_relay",
        metadata: ["slot": name])
      return
    }
    try await session.query(Self.register, [.text(name)])
  }

  // MARK: The registry of the outbox's readers

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
  let isPhysical: Bool
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
