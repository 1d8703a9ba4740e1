public import Logging
public import Postgres
public import Reactor
public import Schema
import Time

/// Brings a database to this binary's schema: functions, then numbered steps in order, then roles.
///
/// Each text and its record are committed in one transaction; steps that cannot run in one (`create index concurrently`) are
/// repeated until they are recorded. Only one process at a time works: a transaction of a second session holds the lock, so
/// that it holds behind PgBouncer too. A statement that waits for a table longer than `lockTimeout` gives way to the writers
/// behind it and is tried again.
public struct Migrator {
  public struct Step: Equatable, Sendable, CustomStringConvertible {
    /// nil: a function, or a role's rights.
    public let version: Int?
    public let name: String

    public var description: String { version.map { "migration \($0) \(name)" } ?? name }
  }

  /// Texts to apply.
  public struct Plan: Sendable {
    public var functions: [Definition]
    public var steps: [Migration]
    public var roles: [Definition]
    /// Names of functions that the database has in this revision, with another text: one that is not released yet.
    var edited: Set<String> = []

    public init(functions: [Definition], steps: [Migration], roles: [Definition]) {
      (self.functions, self.steps, self.roles) = (functions, steps, roles)
    }

    /// True if a program works without what is in it. Who may not make roles has none.
    public var isWorkable: Bool { functions.allSatisfy { edited.contains($0.name) } && steps.isEmpty }

    public var isEmpty: Bool { functions.isEmpty && steps.isEmpty && roles.isEmpty }

    /// What is in it, in the order of its application.
    public var descriptions: [String] {
      functions.map { "function \($0.name)" } + steps.map { "migration \($0.version) \($0.name)" } + roles.map(\.name)
    }

    public static var schema: Plan {
      Plan(functions: Schema.functions, steps: Schema.migrations, roles: Schema.roles)
    }
  }

  private let session: PostgresSession
  private let guardian: PostgresSession
  private let plan: Plan
  private let lockTimeout: Duration
  private let reactor: Reactor
  private let logger: Logger

  static let maximumTries = 30
  static let longestWait = Duration.seconds(120)

  /// - Parameters:
  ///   - session: The session that does the work. Nothing else uses it meanwhile.
  ///   - guardian: Another session, which holds the lock.
  public init(
    _ session: PostgresSession, guardian: PostgresSession, plan: Plan = .schema, lockTimeout: Duration = .seconds(2),
    on reactor: Reactor, logger: Logger
  ) {
    (self.session, self.guardian, self.plan) = (session, guardian, plan)
    (self.lockTimeout, self.reactor, self.logger) = (lockTimeout, reactor, logger)
  }

  /// Applies what is missing and returns it.
  public func run() async throws(MigrationError) -> [Step] {
    do {
      try await lock()
      try await session.execute(Schema.migrationTable, name: "migration_table")
      let missing = try await Self.missing(from: plan, session)
      var done: [Step] = []
      for definition in missing.functions { done += try await apply(definition, isRole: false) }
      for migration in missing.steps { done.append(try await apply(migration)) }
      // The rights on functions go with the functions: all roles are applied again after any change.
      let roles = done.isEmpty ? missing.roles : plan.roles
      for definition in roles { done += try await apply(definition, isRole: true) }
      try await guardian.execute("commit", name: "the migration lock")
      return done
    } catch let error as MigrationError { throw error } catch { throw .database("\(error)") }
  }

  /// Takes the lock. Whoever waits for it holds no server connection of a pooler meanwhile.
  private func lock() async throws {
    let deadline = ContinuousClock.now + Self.longestWait
    var backoff = Backoff(first: .milliseconds(50), limit: .seconds(1))
    while true {
      let rows = try await guardian.execute(
        """
        begin; set local idle_in_transaction_session_timeout = 0;
        select pg_try_advisory_xact_lock(hashtext('annals.migrations'), 0)
        """, name: "the migration lock")
      if rows.last?.first == "t" { return }
      try await guardian.execute("rollback", name: "the migration lock")
      guard .now < deadline else { throw MigrationError.locked(after: Self.longestWait) }
      try await reactor.sleep(for: backoff.next())
    }
  }

  /// What `run` would apply.
  public static func missing(from plan: Plan = .schema, _ session: PostgresSession) async throws -> Plan {
    let found = try await session.execute("select to_regclass('annals.definitions') is not null")
    guard found.first?.first == "t" else { return plan }
    let applied = try await session.query(Query("applied_migrations", Schema.appliedMigrations))
      .map {
        (
          version: try $0.get(0, as: Int.self), name: try $0.get(1, as: String.self),
          checksum: try $0.get(2, as: String.self)
        )
      }
    for (index, step) in applied.enumerated() {
      guard index < plan.steps.count else { throw MigrationError.newer(version: step.version, name: step.name) }
      let known = plan.steps[index]
      guard known.version == step.version, known.checksum == step.checksum else {
        throw MigrationError.changed(version: step.version, name: step.name)
      }
    }
    var known: [String: (revision: Int, checksum: String)] = [:]
    for row in try await session.query(Query("applied_definitions", Schema.appliedDefinitions)) {
      known[try row.get(0)] = (try row.get(1), try row.get(2))
    }
    // A dump has the records; the roles are the cluster's, and `pg_dump --no-privileges` leaves their rights out.
    let rights = try await session.execute(
      "select has_schema_privilege(oid, 'annals', 'usage') from pg_roles where rolname = 'annals_application'"
    ).first?.first
    if rights != "t" { for role in plan.roles { known[role.name] = nil } }
    func isMissing(_ definition: Definition) -> Bool {
      guard let known = known[definition.name] else { return true }
      return known.revision < definition.revision
        || known.revision == definition.revision && known.checksum != definition.checksum
    }
    var missing = Plan(
      functions: plan.functions.filter(isMissing), steps: Array(plan.steps.dropFirst(applied.count)),
      roles: plan.roles.filter(isMissing))
    missing.edited = Set(missing.functions.lazy.filter { known[$0.name]?.revision == $0.revision }.map(\.name))
    return missing
  }

  // MARK: Applying

  private func apply(_ migration: Migration) async throws -> Step {
    let name = "migration \(migration.version) \(migration.name)"
    let recording = (
      Query("record_migration", Schema.recordMigration),
      [Parameter.integer(Int32(migration.version)), .text(migration.name), .text(migration.checksum)]
    )
    do {
      if migration.isTransactional {
        try await transaction(migration.sql, name, recording)
      } else {
        try await dropInvalidIndexes()
        for statement in Self.statements(of: migration.sql) {
          try await retrying {
            try await session.execute("set statement_timeout = 0; set lock_timeout = 0", name: name)
            try await session.execute(statement, name: name)
          }
        }
        try await session.execute("reset statement_timeout; reset lock_timeout", name: name)
        try await session.query(recording.0, recording.1)
      }
    } catch {
      throw MigrationError.failed(version: migration.version, name: migration.name, reason: "\(error)")
    }
    logger.info("Migration applied", metadata: ["version": "\(migration.version)", "name": migration.name])
    return Step(version: migration.version, name: migration.name)
  }

  /// - Returns: Nothing if the role of this session may not manage roles: the rights are the owner's to give then.
  private func apply(_ definition: Definition, isRole: Bool) async throws -> [Step] {
    do {
      try await transaction(
        definition.sql, definition.name,
        (
          Query("record_definition", Schema.recordDefinition),
          [.text(definition.name), .integer(Int32(definition.revision)), .text(definition.checksum)]
        ))
    } catch PostgresError.server(let error) where isRole && error.sqlState == "42501" {
      logger.warning(
        "A role was not set up: this needs the right to create roles (CREATEROLE)",
        metadata: ["role": definition.name, .error: "\(error.message)"])
      return []
    } catch {
      throw MigrationError.undefined(name: definition.name, reason: "\(error)")
    }
    logger.info("Definition applied", metadata: ["name": definition.name])
    return [Step(version: nil, name: isRole ? definition.name : "function \(definition.name)")]
  }

  private func transaction(
    _ sql: String, _ name: String, _ recording: (query: Query, parameters: [Parameter])
  ) async throws {
    // A role that another database of the cluster makes at this moment may be there and not be known yet: its name is looked up in a
    // cache that is not renewed within the transaction.
    try await retrying(name.hasPrefix("role ") ? [Self.lockTimedOut, Self.undefinedObject] : [Self.lockTimedOut]) {
      do {
        try await session.execute(
          """
          begin; set local statement_timeout = 0; set local lock_timeout = \(lockTimeout.inMilliseconds);
          set local check_function_bodies = off
          """, name: "begin")
        try await session.execute(sql, name: name)
        try await session.query(recording.query, recording.parameters)
        // Rights go with functions and tables: an interruption must not leave them out.
        if !name.hasPrefix("role ") {
          try await session.execute("delete from annals.definitions where name like 'role %'", name: "roles to apply")
        }
        try await session.execute("commit", name: "commit")
      } catch {
        _ = try? await session.execute("rollback", name: "rollback")  // clean-up: only the first error is reported
        throw error
      }
    }
  }

  private static let lockTimedOut = "55P03"
  private static let undefinedObject = "42704"

  /// Tries again after an error that goes away with time.
  private func retrying(_ states: Set<String> = [lockTimedOut], _ body: () async throws -> Void) async throws {
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    while true {
      do { return try await body() } catch PostgresError.server(let error) where states.contains(error.sqlState) {
        guard backoff.attempts < Self.maximumTries else { throw PostgresError.server(error) }
        let delay = backoff.next()
        logger.info("The step is tried again", metadata: [.delay: "\(delay)", .error: "\(error.message)"])
        try await reactor.sleep(for: delay)
      }
    }
  }

  /// An interrupted `create index concurrently` leaves an index that `if not exists` takes for done.
  private func dropInvalidIndexes() async throws {
    let names = try await session.execute(
      """
      select format('%I.%I', n.nspname, c.relname) from pg_index i
      join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'annals' and not i.indisvalid
      """, name: "invalid indexes")
    for case .some(let name) in names.map({ $0.first ?? nil }) {
      try await session.execute("drop index concurrently if exists \(name)", name: "dropping an invalid index")
    }
  }

  /// The statements of a step without a transaction. They have no semicolon inside.
  private static func statements(of sql: String) -> [String] {
    let lines = sql.split(separator: "\n").filter { !$0.hasPrefix("--") }
    return lines.joined(separator: "\n").split(separator: ";")
      .filter { $0.contains { !$0.isWhitespace } }.map(String.init)
  }
}

public enum MigrationError: Error, Equatable, CustomStringConvertible {
  case failed(version: Int, name: String, reason: String)
  /// A function or a role could not be applied.
  case undefined(name: String, reason: String)
  /// An applied step differs from this binary's step with the same number.
  case changed(version: Int, name: String)
  /// The database has a step that this binary does not know.
  case newer(version: Int, name: String)
  /// Another process has held the lock all the time.
  case locked(after: Duration)
  case database(String)

  public var description: String {
    switch self {
    case .failed(let version, let name, let reason):
      "migration \(version) (\(name)) failed and was rolled back: \(reason)"
    case .undefined(let name, let reason): "\(name) cannot be applied: \(reason)"
    case .changed(let version, let name):
      "migration \(version) (\(name)) differs from the applied one: restore the released step, and add a new one"
    case .newer(let version, let name):
      "the database has migration \(version) (\(name)), which this version of annals does not know: use a newer version"
    case .locked(let after): "another annals migrate has been running for \(after): wait until it ends"
    case .database(let reason): reason
    }
  }
}
