import EventStore
import Events
import Identifiers
import Metrics
import Postgres
import Reactor
import Support
import Testing

@Suite("The outbox", .workLimit(minutes: 5)) struct OutboxTests {
  private func maintenance(_ database: TestDatabase) -> OutboxMaintenance {
    OutboxMaintenance(
      database.options, on: database.reactor, logger: quietLogger(), metrics: MetricsRegistry())
  }

  private func partitions(_ session: PostgresSession) async throws -> Int {
    Int(try await session.value("select count(*) from annals.outbox_partitions") ?? "") ?? -1
  }

  @Test("drops partitions only when all that could be in them is confirmed by every reader of the registry (G10)")
  func partitions() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      let maintenance = maintenance(database)
      #expect(try await partitions(session) == 8)
      let writer = try await database.session()
      try await writer.execute("begin; select pg_current_xact_id()")
      try await session.execute("select setval('annals.event_sequence', 600000)")
      // A reader that has everything; but the writer may still hold a number of the first partitions.
      try await session.execute(
        """
        insert into annals.relays (relay, source) values ('late', 'table');
        insert into annals.relay_checkpoints (relay, shard, shards, complete) values ('late', 0, 1, '9000000000')
        """)
      for _ in 0..<2 { #expect(try await maintenance.runOnce().dropped == 0) }
      try await writer.execute("commit")
      // Readers that have not: one with a slot that is not ready, one whose slot is gone, one part of a table's reader.
      let slot = Stack.uniqueName("s")
      try await session.execute("select pg_create_logical_replication_slot('\(slot)', 'pgoutput')")
      for (reader, blocks) in [
        ("insert into annals.relays (relay, source) values ('\(slot)', 'wal')", true),
        ("update annals.relays set ready = true where relay = '\(slot)'", true),
        ("insert into annals.relays (relay, source, ready) values ('gone', 'wal', true)", true),
        ("insert into annals.relays (relay, source) values ('new', 'table')", true),
        ("insert into annals.relay_checkpoints (relay, shard, shards, complete) values ('late', 1, 2, '1')", true),
      ] {
        try await session.execute(reader)
        try await eventually("the partitions are complete", on: database.reactor) {
          #expect(try await maintenance.runOnce().dropped == 0, "\(reader)")
          return try await session.value("select count(*) from annals.outbox_partitions where complete_at is not null")
            == "2"
        }
        #expect(blocks)
      }
      // One after another is done, or retired.
      try await session.execute("update annals.relay_checkpoints set complete = '9000000000'")
      #expect(try await maintenance.runOnce().dropped == 0)
      for name in ["gone", "new"] {
        #expect(try await OutboxMaintenance.forget(name, session))
        #expect(try await maintenance.runOnce().dropped == 0)
      }
      #expect(try await OutboxMaintenance.forget("nobody", session) == false)
      // One that runs is not forgotten: it would lose its place and go on.
      let running = try await database.session()
      try await running.execute(
        "select pg_advisory_lock_shared(hashtext('annals.relay'), hashtext('\(slot)'))")
      let error = await #expect(throws: PostgresError.self) { try await OutboxMaintenance.forget(slot, session) }
      #expect(error.map { "\($0)" }?.contains("relay \(slot) is running") == true)
      running.close()
      try await session.execute(
        "select pg_replication_slot_advance('\(slot)', pg_current_wal_insert_lsn())")
      // As a worker does: it runs on no reactor.
      let dropped = try await Task.detached { try await maintenance.runOnce().dropped }.value
      #expect(dropped == 2)
      #expect(try await session.value("select to_regclass('annals.outbox_0000000000000000001') is null") == "t")
      writer.close()
      session.close()
    }
  }

  @Test("has few partitions behind a number that is far away: an adopted or imported sequence")
  func farSequence() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("select setval('annals.event_sequence', 1000000000)")
      _ = try await maintenance(database).runOnce()
      #expect(try await partitions(session) <= 16)
      _ = try await EventStore(database.pool).append([event()], to: stream(), expecting: .any, metadata: metadata)
      session.close()
    }
  }

  @Test("keeps everything while no reader is registered")
  func noReaders() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("select setval('annals.event_sequence', 600000)")
      try await eventually("the partitions are complete", on: database.reactor) {
        #expect(try await maintenance(database).runOnce().dropped == 0)
        return try await session.value("select count(*) from annals.outbox_partitions where complete_at is not null")
          == "2"
      }
      session.close()
    }
  }

  @Test("drops a partition while a long reader holds the outbox and writers go on; and where it was stopped half way")
  func detachment() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      let maintenance = maintenance(database)
      let store = EventStore(database.pool)
      try await session.execute(
        """
        insert into annals.relays (relay, source) values ('r', 'table');
        insert into annals.relay_checkpoints (relay, shard, shards, complete) values ('r', 0, 1, '9000000000');
        select setval('annals.event_sequence', 300000)
        """)
      // As a backup does.
      let reader = try await database.session()
      try await reader.execute("begin isolation level repeatable read; lock table annals.outbox in access share mode")
      let dropping = Task(executorPreference: database.reactor) {
        while true {
          let dropped = try await maintenance.runOnce().dropped
          if dropped > 0 { return dropped }
        }
      }
      try await eventually("the partition waits for the reader", on: database.reactor) {
        _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
        return try await session.value("select count(*) from pg_inherits where inhdetachpending") == "1"
      }
      for _ in 0..<20 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      // Stopped in the middle: the partition is left pending.
      try await session.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like '%concurrently%' and pid <> pg_backend_pid()"
      )
      await #expect(throws: (any Error).self) { _ = try await dropping.value }
      #expect(try await session.value("select count(*) from pg_inherits where inhdetachpending") == "1")
      try await reader.execute("commit")
      #expect(try await maintenance.runOnce().dropped == 1)
      #expect(try await session.value("select to_regclass('annals.outbox_0000000000000000001') is null") == "t")
      reader.close()
      session.close()
    }
  }

  @Test("grows ahead of its writers")
  func growth() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("select setval('annals.event_sequence', 1900000)")
      #expect(try await maintenance(database).runOnce().added > 0)
      let store = EventStore(database.pool)
      try await session.execute("select setval('annals.event_sequence', 2100000)")
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      session.close()
    }
  }
}
