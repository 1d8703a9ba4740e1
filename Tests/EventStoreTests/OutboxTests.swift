import EventStore
import Events
import Identifiers
import Postgres
import Reactor
import Support
import Testing

@Suite("The outbox", .timeLimit(.minutes(5))) struct OutboxTests {
  @Test("drops partitions only when all that could be in them is confirmed")
  func partitions() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      func partitions() async throws -> Int {
        Int(
          try await session.execute("select count(*) from annals.outbox_partitions").first?.first.flatMap { $0 } ?? "")
          ?? -1
      }
      func maintain(_ confirmed: String) async throws {
        try await session.execute("select annals.maintain_outbox(\(confirmed), 3, 250000)")
      }
      #expect(try await partitions() == 8)
      let writer = try await database.session()
      try await writer.execute("begin; select pg_current_xact_id()")
      try await session.execute("select setval('annals.position_seq', 600000)")
      try await maintain("pg_current_wal_insert_lsn()")
      try await maintain("pg_current_wal_insert_lsn()")
      // The writer may still hold a position in the first partitions.
      #expect(try await partitions() == 8)
      try await writer.execute("commit")
      try await eventually("the partitions are complete", on: database.reactor) {
        try await maintain("null")
        return try await session.execute("select count(*) from annals.outbox_partitions where complete_at is not null")
          == [["2"]]
      }
      try await maintain("'0/1'")
      #expect(try await partitions() == 8)
      try await eventually("the partitions go", on: database.reactor) {
        try await maintain("pg_current_wal_insert_lsn()")
        return try await partitions() == 6
      }
      let left = try await session.execute("select to_regclass('annals.outbox_0000000000000000001') is null")
      #expect(left == [["t"]])
      writer.close()
      session.close()
    }
  }

  @Test("grows ahead of its writers")
  func growth() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("select setval('annals.position_seq', 1900000)")
      try await session.execute("select annals.maintain_outbox(null)")
      let store = EventStore(database.pool)
      try await session.execute("select setval('annals.position_seq', 2100000)")
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      session.close()
    }
  }
}
