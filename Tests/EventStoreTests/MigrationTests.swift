import EventStore
import Events
import Identifiers
import Postgres
import Reactor
import Schema
import Support
import Testing

@Suite("The schema", .workLimit(minutes: 5)) struct MigrationTests {
  @Test("is applied once, in order, also by several at the same time")
  func migrateTogether() async throws {
    try await withDatabase(migrated: false) { database in
      let applied = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<4 { group.addTask { try await migrate(database.options, on: database.reactor).count } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(applied.filter { $0 > 0 }.count == 1)
    }
  }

  @Test("is applied behind PgBouncer in transaction mode")
  func behindPooler() async throws {
    try await withDatabase(migrated: false) { database in
      try await withPgBouncer(on: database.reactor) { port in
        var options = database.options
        options.url = "postgresql://any@127.0.0.1:\(port)/\(database.name)"
        (options.preparesStatements, options.setsSession) = (false, false)
        let applied = try await withThrowingTaskGroup(of: Int.self) { [options] group in
          for _ in 0..<3 { group.addTask { try await migrate(options, on: database.reactor).count } }
          return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(applied.filter { $0 > 0 }.count == 1)
      }
    }
  }

  @Test("is asked for what is missing, and stays as it is")
  func missing() async throws {
    try await withDatabase(migrated: false) { database in
      let session = try await database.session()
      #expect(try await !Migrator.missing(session).isEmpty)
      #expect(try await session.execute("select to_regclass('annals.events') is null") == [["t"]])
      try await migrate(database.options, on: database.reactor)
      #expect(try await Migrator.missing(session).isEmpty)
      session.close()
    }
  }

  @Test("is refused where a released step was edited, and where the database is ahead")
  func checksums() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("insert into annals.migrations values (99, 'future', 'x')")
      await #expect(throws: MigrationError.newer(version: 99, name: "future")) {
        try await migrate(database.options, on: database.reactor)
      }
      try await session.execute("delete from annals.migrations where version = 99")
      try await session.execute("update annals.migrations set checksum = 'x' where version = 1")
      await #expect(throws: MigrationError.changed(version: 1, name: "start")) {
        try await migrate(database.options, on: database.reactor)
      }
      session.close()
    }
  }

  @Test("gets a function again whose text has changed, and the roles with it")
  func functions() async throws {
    try await withDatabase { database in
      var plan = Migrator.Plan.schema
      plan.functions.append(
        Definition(
          name: "answer", sql: "create or replace function annals.answer() returns integer language sql as 'select 1'"))
      let added = try await migrate(database.options, plan: plan, on: database.reactor)
      #expect(added.first?.name == "function answer")
      plan.functions[plan.functions.count - 1] = Definition(
        name: "answer", sql: "create or replace function annals.answer() returns integer language sql as 'select 42'")
      try await migrate(database.options, plan: plan, on: database.reactor)
      let session = try await database.session()
      #expect(try await session.execute("select annals.answer()") == [["42"]])
      #expect(
        try await session.execute("select has_function_privilege('annals_auditor', 'annals.answer()', 'execute')") == [
          ["f"]
        ])
      session.close()
    }
  }

  @Test("serves programs of two versions: the older one works on, and its migrate takes nothing of the newer one away")
  func versions() async throws {
    try await withDatabase { database in
      func plan(_ revision: Int, _ answer: Int) -> Migrator.Plan {
        var plan = Migrator.Plan.schema
        plan.functions.append(
          Definition(
            name: "answer", revision: revision,
            sql: "create or replace function annals.answer() returns integer language sql as 'select \(answer)'"))
        return plan
      }
      let session = try await database.session()
      #expect(try await !Migrator.missing(from: plan(1, 1), session).isWorkable)
      try await migrate(database.options, plan: plan(1, 1), on: database.reactor)
      // The newer program needs its own; an edited text of the same revision does not keep a program from starting.
      #expect(try await !Migrator.missing(from: plan(2, 2), session).isWorkable)
      let edited = try await Migrator.missing(from: plan(1, 3), session)
      #expect(edited.functions.count == 1 && edited.isWorkable)
      try await migrate(database.options, plan: plan(2, 2), on: database.reactor)
      #expect(try await Migrator.missing(from: plan(1, 1), session).isEmpty)
      #expect(try await migrate(database.options, plan: plan(1, 1), on: database.reactor).isEmpty)
      #expect(try await session.execute("select annals.answer()") == [["2"]])
      session.close()
    }
  }

  @Test("sets the roles' rights again where a dump has left them out, in a cluster that has the roles")
  func rightsLeftOut() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("revoke all on schema annals from annals_application, annals_relay")
      let steps = try await migrate(database.options, on: database.reactor)
      #expect(steps.map(\.name).contains("role application") && steps.map(\.name).contains("role relay"))
      #expect(
        try await session.execute("select has_schema_privilege('annals_application', 'annals', 'usage')") == [["t"]])
      #expect(try await Migrator.missing(session).isEmpty)
      session.close()
    }
  }

  @Test("gives way to writers that hold a table, and is tried again; an interrupted index is built again")
  func locks() async throws {
    try await withDatabase { database in
      let writer = try await database.session()
      let session = try await database.session()
      // What an interrupted `create index concurrently` leaves: an index that is not valid.
      try await session.execute(
        """
        create index probe on annals.snapshots (taken_at);
        update pg_index set indisvalid = false where indexrelid = 'annals.probe'::regclass
        """)
      try await writer.execute("begin; lock table annals.snapshots in row exclusive mode")
      var plan = Migrator.Plan.schema
      plan.steps += [
        Migration(version: 2, name: "column", sql: "alter table annals.snapshots add column note text"),
        Migration(
          version: 3, name: "index",
          sql: """
            -- without a transaction
            create index concurrently if not exists probe on annals.snapshots (taken_at);
            create index concurrently if not exists other on annals.snapshots (note);
            """),
      ]
      let migration = Task(executorPreference: database.reactor) { [plan] in
        try await PostgresSession.with(database.options, on: database.reactor, logger: quietLogger()) { session in
          try await PostgresSession.with(database.options, on: database.reactor, logger: quietLogger()) { guardian in
            try await Migrator(
              session, guardian: guardian, plan: plan, lockTimeout: .milliseconds(50), on: database.reactor,
              logger: quietLogger()
            ).run()
          }
        }
      }
      try await eventually("the step waits for the table", on: database.reactor) {
        try await session.execute(
          "select 1 from pg_locks where relation = 'annals.snapshots'::regclass and not granted and database = (select oid from pg_database where datname = current_database())"
        ).isEmpty == false
      }
      // A reader that comes meanwhile waits for the step's lock_timeout at most.
      #expect(try await session.execute("select count(*) from annals.snapshots") == [["0"]])
      try await writer.execute("commit")
      #expect(try await migration.value.map(\.version).prefix(2) == [2, 3])
      #expect(
        try await session.execute(
          "select count(*) from pg_index where indexrelid in ('annals.probe'::regclass, 'annals.other'::regclass) and indisvalid"
        ) == [["2"]])
      writer.close()
      session.close()
    }
  }
}
