import EventStore
import Events
import Identifiers
import Postgres
import Reactor
import Support
import Testing

func event(_ type: String = "Happened", image: String = #"{"n":1}"#) -> NewEvent {
  NewEvent(type: type, data: Array(#"{"amount":0.10}"#.utf8), change: RowChange(before: nil, after: Array(image.utf8)))
}

let metadata = EventMetadata(actor: "alice", correlationID: "c-1")

func stream() -> StreamID { StreamID(category: "thing", id: UUID.version7().description) }

@Suite("Appending to a stream", .timeLimit(.minutes(5))) struct AppendTests {
  @Test("numbers events without gaps and writes their outbox rows in the same transaction (G1)")
  func append() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      let first = try await store.append([event(), event()], to: stream, expecting: .noStream, metadata: metadata)
      let second = try await store.append([event()], to: stream, expecting: .exact(2), metadata: metadata)
      #expect(first.version == 2)
      #expect(second.version == 3)
      let events = try await store.read(stream).events
      #expect(events.map(\.version) == [1, 2, 3])
      #expect(events.map(\.data) == Array(repeating: Array(#"{"amount": 0.10}"#.utf8), count: 3))
      #expect(events[0].metadata == metadata)
      let rows = try await database.pool.query(
        Query(
          "",
          "select count(*), count(distinct o.xid) from annals.outbox o join annals.events e using (xid, position, event_id)"
        ))
      #expect(try rows[0].get(0, as: Int.self) == 3)
      #expect(try rows[0].get(1, as: Int.self) == 2)
    }
  }

  @Test("refuses a version that is not the stream's, tells the actual one and writes nothing")
  func conflict() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      _ = try await store.append([event(), event()], to: stream, expecting: .any, metadata: metadata)
      for expected in [ExpectedVersion.noStream, .exact(1), .exact(3)] {
        await #expect(throws: AppendError.versionConflict(stream: stream, expected: expected, actual: 2)) {
          try await store.append([event()], to: stream, expecting: expected, metadata: metadata)
        }
      }
      #expect(try await store.read(stream).events.count == 2)
    }
  }

  @Test("lets one of many writers win each version")
  func race() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      let wins = await withTaskGroup(of: Bool.self) { group in
        for _ in 0..<20 {
          group.addTask {
            do throws(AppendError) {
              _ = try await store.append([event()], to: stream, expecting: .noStream, metadata: metadata)
              return true
            } catch {
              if case .versionConflict(_, _, let actual) = error { return actual == 1 ? false : true }
              return true
            }
          }
        }
        return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
      }
      #expect(wins == 1)
      let count = try await store.read(stream).events.count
      #expect(count == 1)
    }
  }

  @Test("takes one event id only once")
  func identity() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let event = event()
      _ = try await store.append([event], to: stream(), expecting: .any, metadata: metadata)
      await #expect(throws: AppendError.self) {
        try await store.append([event], to: stream(), expecting: .any, metadata: metadata)
      }
    }
  }

  @Test("cannot be undone: the log refuses update, delete and truncate")
  func appendOnly() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      for statement in ["update annals.events set type = 'x'", "delete from annals.events", "truncate annals.events"] {
        do {
          try await database.pool.query(Query("", statement))
          Issue.record("\(statement) was allowed")
        } catch let PostgresError.server(error) { #expect(error.sqlState == "AN001") }
      }
    }
  }

  @Test("links each event to the one before it by a hash that can be made again")
  func chain() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      _ = try await store.append([event(), event()], to: stream, expecting: .any, metadata: metadata)
      _ = try await store.append([event()], to: stream, expecting: .any, metadata: metadata)
      let rows = try await database.pool.query(
        Query(
          "",
          """
          select count(*) filter (where hash = annals.event_hash(previous, stream_id, version, event_id, type,
                                                                 schema_version, data, metadata, recorded_at)),
                 count(distinct hash)
          from (select *, lag(hash) over (partition by stream_id order by version) as previous from annals.events) e
          """))
      #expect(try rows[0].get(0, as: Int.self) == 3)
      #expect(try rows[0].get(1, as: Int.self) == 3)
    }
  }
}

@Suite("Reading the whole log (G2)", .timeLimit(.minutes(5))) struct ReadLogTests {
  private static let insert =
    "select * from annals.append('thing-' || gen_random_uuid(), 'thing', null, array[gen_random_uuid()], array['T'], "
    + "array[1], array['{}'::jsonb], '{\"actor\":\"a\"}', 'k', array['c'], array[null], array['{}'], null)"

  /// Reads the log from its start until that many events are settled. Transactions of other databases of the same
  /// server hold readers back too: other tests' for example.
  private func settledLog(
    _ count: Int, of store: EventStore, on database: TestDatabase
  ) async throws -> [RecordedEvent] {
    var events: [RecordedEvent] = []
    try await eventually("\(count) events are settled", on: database.reactor) {
      events = try await store.readLog(after: .start, limit: 100).events
      return events.count >= count
    }
    #expect(events.count == count)
    return events
  }

  @Test("never misses an event whose transaction committed after a later one")
  func oppositeOrder() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let early = try await database.session()
      let late = try await database.session()
      try await early.execute("begin; \(Self.insert)")
      try await late.execute("begin; \(Self.insert)")
      try await late.execute("commit")
      // The later one is committed, but the earlier one still runs: nothing may be seen yet.
      #expect(try await store.readLog(after: .start, limit: 10).events.isEmpty)
      try await early.execute("commit")
      let events = try await settledLog(2, of: store, on: database)
      #expect(events.map(\.position) == events.map(\.position).sorted())
      early.close()
      late.close()
    }
  }

  @Test("is held back, not torn, by a transaction that runs long")
  func longRunning() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      let long = try await database.session()
      try await long.execute("begin; \(Self.insert)")
      for _ in 0..<5 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      let before = try await settledLog(1, of: store, on: database)
      #expect(try await store.readLog(after: .start, limit: 100).events.count == 1)
      try await long.execute("commit")
      let after = try await settledLog(7, of: store, on: database)
      #expect(after.first?.id == before.first?.id)
      long.close()
    }
  }

  @Test("sees every event once while writers commit in any order")
  func concurrent() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let writers = Task(executorPreference: database.reactor) {
        try await withThrowingTaskGroup { group in
          for writer in 0..<6 {
            group.addTask {
              let session = try await database.session()
              for round in 0..<30 {
                try await session.execute("begin; \(Self.insert)")
                if (writer + round) % 3 == 0 { try await database.reactor.sleep(for: .milliseconds(2)) }
                try await session.execute((writer + round) % 7 == 0 ? "rollback" : "commit")
              }
              session.close()
            }
          }
          try await group.waitForAll()
        }
      }
      var seen: [UUID] = []
      var position = Position.start
      func readOn() async throws {
        for event in try await store.readLog(after: position, limit: 7).events {
          #expect(event.position > position)
          position = event.position
          seen.append(event.id)
        }
      }
      let total = {
        try await database.pool.query(Query("", "select count(*) from annals.events"))[0].get(0, as: Int.self)
      }
      async let done: Void = writers.value
      for _ in 0..<200 { try await readOn() }
      try await done
      let expected = try await total()
      try await eventually("all events are read", on: database.reactor) {
        try await readOn()
        return seen.count >= expected
      }
      #expect(seen.count == expected)
      #expect(Set(seen).count == expected)
    }
  }
}

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
