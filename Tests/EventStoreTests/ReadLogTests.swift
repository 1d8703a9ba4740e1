import EventStore
import Events
import Identifiers
import Postgres
import Reactor
import Support
import Testing

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
