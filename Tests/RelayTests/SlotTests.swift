import EventStore
import Identifiers
import Kafka
import Logging
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("A relay's slot", .serialized, .workLimit(minutes: 5)) struct SlotTests {
  @Test("is never somebody else's: one of another kind or database is refused, and stays", arguments: [true, false])
  func foreign(isTable: Bool) async throws {
    try await withDatabase { database in
      var options = try outboxOptions(database, topic: Stack.uniqueName("cdc"))
      if isTable { options.source = .table(shard: 0, of: 1) }
      let session = try await database.session()
      var elsewhere = database.options
      elsewhere.url = elsewhere.url.replacing("/\(database.name)", with: "/postgres")
      for (statement, connection, reason) in [
        ("select pg_create_physical_replication_slot('\(options.slot)')", database.options, "it is a physical slot"),
        (
          "select pg_create_logical_replication_slot('\(options.slot)', 'pgoutput')", elsewhere,
          "it belongs to database postgres"
        ),
      ] {
        try await PostgresSession.with(connection, on: database.reactor, logger: quietLogger()) {
          _ = try await $0.execute(statement)
        }
        if isTable {
          // It needs none, and leaves this one alone.
          try await whileRelaying(options, on: database.reactor) { _ in }
        } else {
          let found = try await failure(of: options, on: database.reactor)
          #expect(found.contains(reason))
        }
        let found = try await session.execute("select 1 from pg_replication_slots where slot_name = '\(options.slot)'")
        #expect(found.count == 1)
        try await PostgresSession.with(connection, on: database.reactor, logger: quietLogger()) {
          _ = try await $0.execute("select pg_drop_replication_slot('\(options.slot)')")
        }
      }
      session.close()
    }
  }

  @Test(
    "is not moved by who only looks, and nothing of a look is left",
    arguments: [RelayOptions.Source.wal, .table(shard: 0, of: 1)])
  func looking(_ source: RelayOptions.Source) async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      var options = try outboxOptions(database, topic: topic)
      options.source = source
      let id = UUID.version7().description
      let session = try await database.session()
      func look(_ count: Int) async throws {
        var looking = options
        looking.destination = .nothing
        let metrics = MetricsRegistry()
        let rows = metrics.counter("annals_relay_rows_total", help: "")
        let delivered = metrics.counter("annals_relay_delivered_total", help: "")
        let relay = try Relay(looking, on: database.reactor, logger: quietLogger(), metrics: metrics)
        let running = Task(executorPreference: database.reactor) { await relay.run() }
        try await eventually("\(count) are seen", on: database.reactor) { max(rows.value, delivered.value) >= count }
        running.cancel()
        await running.value
      }
      // Before there is a relay: what the outbox has, and nothing is registered.
      try await database.append(id, 1...2)
      try await look(2)
      #expect(try await session.execute("select count(*) from annals.relays")[0][0] == "0")
      #expect(try await session.execute("select count(*) from annals.relay_checkpoints")[0][0] == "0")
      try await whileRelaying(options, on: database.reactor) { _ in
        _ = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 2 }
      }
      try await database.append(id, 3...5)
      try await look(3)
      // Beside the relay that works.
      try await whileRelaying(options, on: database.reactor) { _ in
        let messages = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 5 }
        #expect(messages.compactMap(\.version) == [1, 2, 3, 4, 5])
      }
      try await eventually("no slot of a look is left", on: database.reactor) {
        try await session.execute(
          "select 1 from pg_replication_slots where slot_name like '%_look_%' and database = current_database()"
        )
        .isEmpty
      }
      session.close()
    }
  }

  @Test("is waited for as long as the server needs: a transaction that runs, a table that is locked")
  func patience() async throws {
    try await withDatabase { database in
      var options = try outboxOptions(database, topic: Stack.uniqueName("cdc"))
      (options.postgres.statementTimeout, options.postgres.margin) = (.milliseconds(100), .milliseconds(100))
      let metrics = MetricsRegistry()
      let holder = try await database.session()
      try await holder.execute("begin; lock table annals.outbox in access exclusive mode")
      let log = LogRecorder()
      let relay = try Relay(
        options, on: database.reactor, logger: .init(label: "test", level: .debug, handler: log), metrics: metrics)
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      try await database.reactor.sleep(for: .milliseconds(700))
      try await holder.execute("rollback")
      holder.close()
      try await eventually("it streams", on: database.reactor) { await relay.state == .streaming }
      #expect(log.lines.map(\.message).filter { $0.hasPrefix("The relay failed") }.isEmpty)
      running.cancel()
      await running.value
    }
  }

  @Test("that nobody reads while somebody holds its name is a problem that is told")
  func deadHolder() async throws {
    try await withDatabase { database in
      var options = try outboxOptions(database, topic: Stack.uniqueName("cdc"))
      options.standbyPatience = .milliseconds(300)
      // As a host that is gone leaves it, until the server notices.
      let dead = try await database.session()
      try await dead.execute("select pg_advisory_lock(hashtext('annals.relay'), hashtext('\(options.slot)'))")
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      let pid = try await dead.execute("select pg_backend_pid()")[0][0] ?? ""
      try await eventually("it is told", on: database.reactor) {
        let problem = await relay.problem ?? ""
        return problem.hasPrefix("pid \(pid) ") && problem.contains("pg_terminate_backend")
      }
      let other = try await database.session()
      try await other.execute("select pg_terminate_backend(\(pid))")
      other.close()
      try await eventually("it takes over", on: database.reactor) { await relay.state == .streaming }
      running.cancel()
      await running.value
      dead.close()
    }
  }

  @Test("of each of two relays holds the outbox's partitions (G10)")
  func twoRelays() async throws {
    try await withDatabase { database in
      let topics = [Stack.uniqueName("cdc"), Stack.uniqueName("cdc")]
      let options = try topics.map { try outboxOptions(database, topic: $0) }
      let maintenance = OutboxMaintenance(
        database.options, on: database.reactor, logger: quietLogger(), metrics: MetricsRegistry())
      let session = try await database.session()
      for options in options { try await whileRelaying(options, on: database.reactor) { _ in } }
      try await database.append("a", 1...3)
      try await session.execute("select setval('annals.event_sequence', 600000)")
      try await database.append("a", 4...4)
      func dropped() async throws -> Int { try await maintenance.runOnce().dropped }
      try await whileRelaying(options[0], on: database.reactor) { _ in
        try await eventually("the first relay has confirmed them", on: database.reactor) {
          #expect(try await dropped() == 0)
          return try await session.execute(
            "select 1 from annals.outbox_partitions p, pg_replication_slots s where s.slot_name = '\(options[0].slot)' and p.complete_at <= s.confirmed_flush_lsn"
          ).count == 2
        }
        #expect(try await dropped() == 0)
        try await whileRelaying(options[1], on: database.reactor) { _ in
          try await eventually("both have them", on: database.reactor) { try await dropped() == 2 }
        }
      }
      for topic in topics {
        let messages = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 4 }
        #expect(messages.compactMap(\.version) == [1, 2, 3, 4])
      }
      session.close()
    }
  }
}
