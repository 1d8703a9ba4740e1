public import Logging
public import Postgres
import Schema

/// Migrates a database to this binary's schema. Applies numbered steps in order, under an advisory lock. Each step and
/// its record are committed in one transaction.
public struct Migrator {
  public struct Step: Equatable, Sendable {
    public let version: Int
    public let name: String
  }

  private let session: PostgresSession
  private let logger: Logger

  /// - Parameter session: A session that nothing else uses, because it holds the advisory lock.
  public init(_ session: PostgresSession, logger: Logger) { (self.session, self.logger) = (session, logger) }

  /// Applies the missing steps and returns them.
  ///
  /// - Parameter isDryRun: Only returns the missing steps.
  public func run(isDryRun: Bool = false) async throws(MigrationError) -> [Step] {
    do {
      // The statement timeout limits the wait for the lock.
      if !isDryRun {
        try await session.execute("select pg_advisory_lock(hashtext('annals.migrations'))", name: "the migration lock")
      }
      let applied = try await appliedSteps(isDryRun: isDryRun)
      try check(applied)
      let missing = Schema.migrations.dropFirst(applied.count)
      if !isDryRun {
        for migration in missing { try await apply(migration) }
      }
      if !isDryRun { try await session.execute("select pg_advisory_unlock_all()", name: "the migration lock") }
      return missing.map { Step(version: $0.version, name: $0.name) }
    } catch let error as MigrationError { throw error } catch { throw .database("\(error)") }
  }

  private func appliedSteps(isDryRun: Bool) async throws -> [(version: Int, name: String, checksum: String)] {
    if isDryRun {
      let found = try await session.execute("select to_regclass('annals.migrations') is not null")
      guard found.first?.first == "t" else { return [] }
    } else {
      try await session.execute(Schema.migrationTable, name: "migration_table")
    }
    return try await session.query(Query("applied_migrations", Schema.appliedMigrations))
      .map { (try $0.get(0), try $0.get(1), try $0.get(2)) }
  }

  private func check(_ applied: [(version: Int, name: String, checksum: String)]) throws(MigrationError) {
    for (index, step) in applied.enumerated() {
      guard index < Schema.migrations.count else { throw .newer(version: step.version, name: step.name) }
      let known = Schema.migrations[index]
      guard known.version == step.version, known.checksum == step.checksum else {
        throw .changed(version: step.version, name: step.name)
      }
    }
  }

  private func apply(_ migration: Migration) async throws(MigrationError) {
    do {
      try await session.execute("begin; set local statement_timeout = 0", name: "begin")
      try await session.execute(migration.sql, name: "migration \(migration.version) \(migration.name)")
      try await session.query(
        Query("record_migration", Schema.recordMigration),
        [.integer(Int32(migration.version)), .text(migration.name), .text(migration.checksum)])
      try await session.execute("commit", name: "commit")
    } catch {
      _ = try? await session.execute("rollback", name: "rollback")  // clean-up: only the first error is reported
      throw .failed(version: migration.version, name: migration.name, reason: "\(error)")
    }
    logger.info("Migration applied", metadata: ["version": "\(migration.version)", "name": migration.name])
  }
}

public enum MigrationError: Error, Equatable, CustomStringConvertible {
  case failed(version: Int, name: String, reason: String)
  /// An applied step differs from this binary's step with the same number.
  case changed(version: Int, name: String)
  /// The database has a step that this binary does not know.
  case newer(version: Int, name: String)
  case database(String)

  public var description: String {
    switch self {
    case .failed(let version, let name, let reason):
      "migration \(version) (\(name)) failed and was rolled back: \(reason)"
    case .changed(let version, let name):
      "migration \(version) (\(name)) differs from the applied one: restore the released step, and add a new one"
    case .newer(let version, let name):
      "the database has migration \(version) (\(name)), which this version of annals does not know: use a newer version"
    case .database(let reason): reason
    }
  }
}
