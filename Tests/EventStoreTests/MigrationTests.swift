import EventStore
import Events
import Identifiers
import Postgres
import Reactor
import Support
import Testing

@Suite("The schema", .timeLimit(.minutes(5))) struct MigrationTests {
  @Test("is applied once, in order, also by several at the same time")
  func migrate() async throws {
    try await withDatabase(migrated: false) { database in
      let applied = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<4 {
          group.addTask {
            let session = try await database.session()
            defer { session.close() }
            return try await Migrator(session, logger: quietLogger()).run().count
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(applied.filter { $0 > 0 }.count == 1)
    }
  }

  @Test("tells what a dry run would do, and does it not")
  func dryRun() async throws {
    try await withDatabase(migrated: false) { database in
      let session = try await database.session()
      #expect(try await Migrator(session, logger: quietLogger()).run(isDryRun: true).count > 0)
      #expect(try await session.execute("select to_regclass('annals.events') is null") == [["t"]])
      session.close()
    }
  }

  @Test("is refused where a released step was edited, and where the database is ahead")
  func checksums() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("insert into annals.migrations values (99, 'future', 'x')")
      await #expect(throws: MigrationError.newer(version: 99, name: "future")) {
        try await Migrator(session, logger: quietLogger()).run()
      }
      try await session.execute("delete from annals.migrations where version = 99")
      try await session.execute("update annals.migrations set checksum = 'x' where version = 2")
      await #expect(throws: MigrationError.changed(version: 2, name: "outbox")) {
        try await Migrator(session, logger: quietLogger()).run()
      }
      session.close()
    }
  }
}
