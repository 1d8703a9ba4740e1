import Logging
import Postgres
import Relay
import Schema

/// A connector's publication: the tables whose changes the server sends.
struct Publication {
  let name: String

  private static let userTables = Query("user_tables", Schema.userTables)

  /// Creates the publication for the tables that `publication.autocreate.mode` selects. One that exists gets the tables that
  /// it lacks, if it is `filtered`: others may use it too, so none is taken away, and the encoder leaves out what is not sent.
  func prepare(_ connector: ConnectorOptions, _ session: PostgresSession, logger: Logger) async throws {
    let quoted = quotedIdentifier(name)
    if let all = try await session.query(ReplicationSlot.publicationExists, [.text(name)]).first {
      guard connector.publicationMode == .filtered, try !all.get(2, as: Bool.self) else { return }
      return try await addTables(of: connector, session, logger: logger)
    }
    switch connector.publicationMode {
    case .disabled: throw ReplicationError.publicationMissing(name)
    case .allTables:
      try await session.execute("create publication \(quoted) for all tables", name: "creating the publication")
    case .filtered:
      let chosen = try await tables(of: connector, session).map(\.quoted)
      guard !chosen.isEmpty else { throw ReplicationError.noTables(name) }
      try await session.execute(
        "create publication \(quoted) for table \(chosen.joined(separator: ", "))", name: "creating the publication")
    }
    logger.notice("Publication created", metadata: ["publication": name])
  }

  private func addTables(of connector: ConnectorOptions, _ session: PostgresSession, logger: Logger) async throws {
    let present = Set(
      try await session.query(TableSnapshot.publishedTables, [.text(name)]).map {
        "\(try $0.get(1, as: String.self)).\(try $0.get(2, as: String.self))"
      })
    // A partition may be published by its root.
    let missing = try await tables(of: connector, session).filter { !$0.isPartition && !present.contains($0.name) }
    guard !missing.isEmpty else { return }
    let names = missing.map(\.name).joined(separator: ", ")
    let failure: PostgresError?
    do throws(PostgresError) {
      try await session.execute(
        "alter publication \(quotedIdentifier(name)) add table \(missing.map(\.quoted).joined(separator: ", "))",
        name: "extending the publication")
      failure = nil
    } catch { failure = error }
    guard let failure else {
      logger.notice("Publication extended", metadata: ["publication": name, "tables": names])
      return
    }
    guard case .server(let error) = failure, error.sqlState == "42501" else { throw failure }
    logger.error(
      "Tables of the include list are not in the publication, and this role may not add them: nothing of them is sent",
      metadata: ["publication": name, "tables": names])
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
}
