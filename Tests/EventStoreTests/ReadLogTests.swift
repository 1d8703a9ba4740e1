@testable import EventStore
import Events
import Identifiers
import Metrics
import Postgres
import Reactor
import Support
import Testing

/// Calls the sequencer until the log has that many events.
func sequence(_ count: Int, of database: TestDatabase) async throws {
  let sequencer = Sequencer(database.pool, on: database.reactor, logger: quietLogger(), metrics: MetricsRegistry())
  // Transactions of other databases of the same server hold it back too: other tests' for example.
  try await eventually("\(count) events have an index", on: database.reactor) {
    _ = try await sequencer.step()
    return try await EventStore(database.pool).end().value >= count
  }
}

@Suite("Reading the whole log (G2)", .workLimit(minutes: 5)) struct ReadLogTests {
  private static let insert = """
    select * from annals.append_event('thing-' || gen_random_uuid(), 'thing', null, gen_random_uuid(), 'T', 1, '{}',
      '{"actor":"a","correlation_id":"c"}', 'k', 'c', null, '{}', null)
    """

  @Test("never misses an event whose transaction committed after a later one")
  func oppositeOrder() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let early = try await database.session()
      let late = try await database.session()
      try await early.execute("begin; \(Self.insert)")
      try await late.execute("begin; \(Self.insert)")
      try await late.execute("commit")
      // The later one is committed, but the earlier one still runs: nothing may get an index yet.
      try await late.execute("select annals.sequence_events()")
      #expect(try await store.end() == 0)
      try await early.execute("commit")
      try await sequence(2, of: database)
      let events = try await store.readLog(from: .start).events
      #expect(events.map(\.index) == [0, 1])
      #expect(
        try await late.value(
          "select bool_and(xid = e.xid) from annals.log_index i join annals.events e using (event_id, xid)")
          == "t")
      early.close()
      late.close()
    }
  }

  @Test("is held back, not torn, by a transaction that runs long, and says which")
  func longRunning() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      let long = try await database.session()
      try await long.execute("begin; \(Self.insert)")
      for _ in 0..<5 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      try await sequence(1, of: database)
      #expect(try await store.readLog(from: .start).events.count == 1)
      let session = try await database.session()
      let holder = try await LongTransaction.oldest(atLeast: 0, session)
      #expect(holder != nil)
      try await long.execute("commit")
      try await sequence(7, of: database)
      #expect(try await store.readLog(from: .start).events.count == 7)
      long.close()
      session.close()
    }
  }

  @Test("names a prepared transaction that holds it back")
  func prepared() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      guard try await session.value("show max_prepared_transactions") != "0" else {
        Issue.record("the test server needs max_prepared_transactions")
        return
      }
      let name = Stack.uniqueName("held")
      try await session.execute("begin; \(Self.insert); prepare transaction '\(name)'")
      let found = try await session.execute("select gid from pg_prepared_xacts where gid = '\(name)'")
      #expect(found == [[name]])
      do {
        try await session.execute("select annals.adopt()")
        Issue.record("adopted over a prepared transaction")
      } catch let PostgresError.server(error) {
        #expect(error.sqlState == "AN005" && error.message.contains(name))
      }
      try await session.execute("rollback prepared '\(name)'")
      session.close()
    }
  }

  @Test("indexes are dense, a transaction's events are together, a stream's in its order; nothing is read twice")
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
          for _ in 0..<2 {
            group.addTask {
              for _ in 0..<20 {
                _ = try await store.append(
                  [event(), event(), event()], to: StreamID(category: "thing", id: "shared"), expecting: .any,
                  metadata: metadata)
              }
            }
          }
          try await group.waitForAll()
        }
      }
      // Two sequencers at once.
      let sequencers = (0..<2).map { _ in
        let sequencer = Sequencer(
          database.pool, on: database.reactor, logger: quietLogger(), metrics: MetricsRegistry())
        return Task(executorPreference: database.reactor) { await sequencer.run() }
      }
      var seen: [RecordedEvent] = []
      func readOn() async throws {
        for event in try await store.readLog(from: LogIndex(Int64(seen.count)), limit: 7).events {
          #expect(event.index == LogIndex(Int64(seen.count)))
          seen.append(event)
        }
      }
      for _ in 0..<100 { try await readOn() }
      try await writers.value
      let expected = try await database.pool.query(Query("", "select count(*) from annals.events"))[0].get(
        0, as: Int.self)
      try await eventually("all events are read", on: database.reactor) {
        try await readOn()
        return seen.count >= expected
      }
      for sequencer in sequencers {
        sequencer.cancel()
        await sequencer.value
      }
      #expect(Set(seen.map(\.id)).count == expected)
      let shared = seen.filter { $0.stream.id == "shared" }
      #expect(shared.map(\.version) == (1...120).map { StreamVersion($0) })
      for event in shared where event.version.value % 3 == 1 {
        let index = Int(event.index!.value)
        #expect(seen[index + 1].version == event.version.next && seen[index + 2].version == event.version.next.next)
      }
      // The same, by COPY, in pieces.
      var copied: [UUID] = []
      let reader = LogReader(store, database.options, on: database.reactor, logger: quietLogger())
      let middle = try await reader.read(from: .start, to: 50) { copied += $0.map(\.id) }
      #expect(middle == 50)
      let end = try await reader.read(from: middle) { copied += $0.map(\.id) }
      #expect(end.value == expected)
      #expect(copied == seen.map(\.id))
    }
  }

  @Test("is read by category, by correlation, and backward")
  func selections() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      for number in 0..<6 {
        let stream =
          number % 2 == 0 ? StreamID(category: "thing", id: "\(number)") : StreamID(category: "other", id: "\(number)")
        _ = try await store.append(
          [event()], to: stream, expecting: .any, metadata: EventMetadata(actor: "a", correlationID: "c-\(number / 3)"))
      }
      try await sequence(6, of: database)
      let things = try await store.readCategory("thing", from: 1, limit: 1)
      #expect(things.events.map(\.index) == [2] && things.hasMore)
      #expect(try await store.readCorrelation("c-1").events.map(\.index) == [3, 4, 5])
      #expect(try await store.readLogBackward(limit: 2).events.map(\.index) == [5, 4])
      #expect(try await store.readLogBackward(before: 2).events.map(\.index) == [1, 0])
      var read: [LogIndex?] = []
      let reader = LogReader(store, database.options, on: database.reactor, logger: quietLogger())
      let end = try await reader.read(.category("other"), from: .start) { read += $0.map(\.index) }
      #expect(read == [1, 3, 5])
      #expect(end == 6)
    }
  }

  @Test("a sequencer that stands by takes over from one that is gone")
  func takeOver() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let session = try await database.session()
      let standby = Sequencer(database.pool, on: database.reactor, logger: quietLogger(), metrics: MetricsRegistry())
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      try await eventually("the first works", on: database.reactor) { try await standby.step() == 1 }
      // Another process works: this one steps back.
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      try await eventually("the other works", on: database.reactor) {
        try await session.value("select sequenced from annals.sequence_events()") == "1"
      }
      _ = try await standby.step()
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      let step = try await standby.step()
      #expect(step == nil)
      // The other one is gone.
      try await eventually("it takes over", within: .seconds(20), on: database.reactor) {
        try await standby.step() == 1
      }
      session.close()
    }
  }
}

@Suite("A subscription to the log (G2)", .workLimit(minutes: 5)) struct SubscriptionTests {
  private func subscription(_ database: TestDatabase, pageSize: Int? = nil) -> Subscription {
    Subscription(
      "test", of: EventStore(database.pool), database.options, pageSize: pageSize, on: database.reactor,
      logger: quietLogger(), metrics: MetricsRegistry())
  }

  @Test("is followed by one process at a time; another takes over where it was", arguments: [nil, 2])
  func takesOver(_ pageSize: Int?) async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      for _ in 0..<5 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      try await sequence(5, of: database)
      let seen = [Counter(), Counter()]
      func follow(_ number: Int) -> Task<Void, any Error> {
        Task(executorPreference: database.reactor) {
          try await database.reactor.run {
            try await subscription(database, pageSize: pageSize).run { seen[number].increment(by: $0.count) }
          }
        }
      }
      let first = follow(0)
      try await eventually("the first has read all", on: database.reactor) { seen[0].value == 5 }
      let second = follow(1)
      for _ in 0..<3 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      try await sequence(8, of: database)
      try await eventually("the first goes on", on: database.reactor) { seen[0].value == 8 }
      // It has left its name: the second waits for a moment, not for the half minute of one that was killed.
      first.cancel()
      _ = await first.result
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      try await sequence(9, of: database)
      // What the first had handled and not yet noted may come again.
      try await eventually("the second takes over", on: database.reactor) { seen[1].value >= 1 }
      #expect(seen[0].value == 8)
      second.cancel()
      _ = await second.result
    }
  }

  struct Stop: Error {}

  @Test("hands over what is there, then what comes, once and in order; and goes on behind its checkpoint")
  func follows() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let sequencer = Sequencer(database.pool, on: database.reactor, logger: quietLogger(), metrics: MetricsRegistry())
      let sequencing = Task(executorPreference: database.reactor) { await sequencer.run() }
      for _ in 0..<10 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      let writing = Task(executorPreference: database.reactor) {
        for _ in 0..<40 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      }
      var seen: [LogIndex] = []
      for goal in [20, 50] {
        let subscription = subscription(database)
        await #expect(throws: Stop.self) {
          try await subscription.run { events in
            if seen.count >= goal { throw Stop() }
            seen += events.compactMap(\.index)
            if seen.count >= 50 { throw Stop() }
          }
        }
      }
      try await writing.value
      sequencing.cancel()
      await sequencing.value
      // The batch at whose end the handler failed may come again: indexes never go back beyond that.
      #expect(Set(seen) == Set((0..<50).map { LogIndex($0) }))
    }
  }

  @Test("says so if the log has lost its tail, has another event there, or is another log (G10)")
  func diverged() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      for _ in 0..<3 { _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata) }
      try await sequence(3, of: database)
      let session = try await database.session()
      for (change, reason) in [
        ("update annals.checkpoints set index = 9", "its tail is lost"),
        ("update annals.checkpoints set event_id = gen_random_uuid()", "the log has"),
        ("update annals.checkpoints set log_id = gen_random_uuid()", "this is log"),
      ] {
        try await session.execute(
          """
          delete from annals.checkpoints; insert into annals.checkpoints (reader, log_id, index, event_id)
          select 'test', l.id, 2, i.event_id from annals.log l, annals.log_index i where i.index = 1; \(change)
          """)
        let subscription = subscription(database)
        let error = await #expect(throws: Subscription.Diverged.self) { try await subscription.run { _ in } }
        #expect(error.map { "\($0)".contains(reason) } == true)
      }
      session.close()
    }
  }
}
