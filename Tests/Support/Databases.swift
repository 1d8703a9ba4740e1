public import EventStore
import Logging
import Metrics
public import Postgres
public import Reactor
import Synchronization

/// A migrated database of one test's own.
public struct TestDatabase: Sendable {
  public let name: String
  public let options: PostgresOptions
  public let reactor: Reactor

  /// A pool on the test's reactor. It is closed with the database.
  public let pool: PostgresPool

  /// A session of its own.
  public func session() async throws -> PostgresSession {
    try await PostgresSession.connect(options, on: reactor, logger: quietLogger())
  }
}

/// The migrated database that others are copied from, made once for each run of the tests.
private actor Template {
  static let shared = Template()
  private var task: Task<String, any Error>?

  func name(on reactor: Reactor) async throws -> String {
    if let task { return try await task.value }
    let task = Task {
      try await withReactor { reactor in
        let name = Stack.uniqueName("annals_template")
        let server = try options(for: "postgres")
        try await PostgresSession.with(server, on: reactor, logger: quietLogger()) {
          _ = try await $0.execute("create database \(name)")
        }
        try await migrate(options(for: name), on: reactor)
        return name
      }
    }
    self.task = task
    return try await task.value
  }
}

/// Brings a database to this program's schema.
@discardableResult
public func migrate(
  _ options: PostgresOptions, plan: Migrator.Plan = .schema, on reactor: Reactor
) async throws -> [Migrator.Step] {
  try await PostgresSession.with(options, on: reactor, logger: quietLogger()) { session in
    try await PostgresSession.with(options, on: reactor, logger: quietLogger()) { guardian in
      try await Migrator(session, guardian: guardian, plan: plan, on: reactor, logger: quietLogger()).run()
    }
  }
}

private func options(for database: String) throws -> PostgresOptions {
  let url = try Stack.postgres
  guard let slash = url.lastIndex(of: "/") else { throw Stack.Missing(variable: "ANNALS_POSTGRES_URL") }
  // The tests' server has more to do at once than any other.
  var options = PostgresOptions(url: "\(url[..<slash])/\(database)", statementTimeout: .seconds(60))
  options.connectTimeout = .seconds(30)
  return options
}

/// Makes a database, lends it, and drops it with its replication slots.
public func withDatabase<Value: Sendable>(
  migrated: Bool = true, _ body: @Sendable (TestDatabase) async throws -> Value
) async throws -> Value {
  try await Turns.databases.take { try await withOwnDatabase(migrated, body) }
}

private func withOwnDatabase<Value: Sendable>(
  _ migrated: Bool, _ body: @Sendable (TestDatabase) async throws -> Value
) async throws -> Value {
  try await withReactor { reactor in
    let name = Stack.uniqueName("annals_test")
    let server = try options(for: "postgres")
    let template = migrated ? try await Template.shared.name(on: reactor) : "template1"
    try await PostgresSession.with(server, on: reactor, logger: quietLogger()) {
      _ = try await $0.execute("create database \(name) template \(template)")
    }
    let own = try options(for: name)
    if migrated {
      // A log of its own: a copy would be a stranger to its database.
      try await PostgresSession.with(own, on: reactor, logger: quietLogger()) {
        _ = try await $0.execute(
          "update annals.log set id = gen_random_uuid(), database_oid = (select oid from pg_database where datname = current_database())"
        )
      }
    }
    let pool = PostgresPool(own, on: reactor, logger: quietLogger(), metrics: .init())
    try await pool.start(connections: 2)
    let result: Result<Value, any Error>
    do {
      result = .success(
        try await body(TestDatabase(name: name, options: own, reactor: reactor, pool: pool)))
    } catch { result = .failure(error) }
    await pool.close()
    try await drop(name, on: reactor)
    return try result.get()
  }
}

private func drop(_ name: String, on reactor: Reactor) async throws {
  let server = try options(for: "postgres")
  try await PostgresSession.with(server, on: reactor, logger: quietLogger()) { session in
    let slots = try await session.execute(
      "select slot_name, active_pid from pg_replication_slots where database = '\(name)'")
    for slot in slots.compactMap({ $0.first ?? nil }) {
      try await session.execute(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '\(slot)'")
      try await eventually("slot \(slot) is free", on: reactor) {
        try await session.execute("select 1 from pg_replication_slots where slot_name = '\(slot)' and active").isEmpty
      }
      // One that was still being made goes by itself.
      try await session.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '\(slot)'")
    }
    try await session.execute("drop database \(name) with (force)")
  }
}
