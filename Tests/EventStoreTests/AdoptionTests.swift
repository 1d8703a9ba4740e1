@testable import EventStore
import Events
import Identifiers
import Metrics
import Postgres
import Reactor
import Support
import Testing

@Suite("A log that comes to another server (G10)", .serialized, .workLimit(minutes: 5)) struct AdoptionTests {
  /// Copies a database by a dump, as a restore does.
  private func restore(_ database: TestDatabase, into other: TestDatabase) async throws {
    let child = try await ChildProcess.start(
      "sh",
      ["-c", "pg_dump '\(database.options.url)' | psql -q -v ON_ERROR_STOP=1 '\(other.options.url)' > /dev/null"],
      on: database.reactor)
    #expect(await child.wait() == .exited(status: 0))
  }

  private func append(_ count: Int, to database: TestDatabase) async throws {
    let store = EventStore(database.pool)
    for number in 0..<count {
      _ = try await store.append(
        [event()], to: StreamID(category: "thing", id: "\(number % 5)"), expecting: .any, metadata: metadata)
    }
  }

  @Test("is a stranger there: nothing is appended, indexed, relayed or dropped until it is adopted")
  func stranger() async throws {
    try await withDatabase { database in
      try await append(5, to: database)
      try await withDatabase(migrated: false) { other in
        try await restore(database, into: other)
        let session = try await other.session()
        let store = EventStore(other.pool)
        for count in [1, 2] {
          let error = await #expect(throws: AppendError.self) {
            try await store.append((0..<count).map { _ in event() }, to: stream(), expecting: .any, metadata: metadata)
          }
          guard case .foreignServer(let reason)? = error else {
            Issue.record("\(error.map { "\($0)" } ?? "")")
            return
          }
          #expect(reason.contains("annals adopt"))
        }
        for statement in ["select annals.sequence_events()", "select annals.maintain_outbox()"] {
          do {
            try await session.execute(statement)
            Issue.record("\(statement) worked")
          } catch let PostgresError.server(error) { #expect(error.sqlState == "AN004") }
        }
        let (epoch, moved) = try await LogIdentity.adopt(session)
        #expect(epoch == 2 && moved == 5)
        _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
        session.close()
      }
    }
  }

  @Test(
    "keeps its indexes and its readers' places; what had no index comes behind, in order; nothing is lost or silent")
  func adoption() async throws {
    try await withDatabase { database in
      try await append(20, to: database)
      try await sequence(20, of: database)
      // A reader that has come to 12, a relay of the table, and events without an index.
      let origin = try await database.session()
      try await origin.execute(
        """
        insert into annals.checkpoints (reader, log_id, index, event_id)
        select 'test', l.id, 12, i.event_id from annals.log l, annals.log_index i where i.index = 11;
        insert into annals.relays (relay, source, feed, ready) values ('r', 'table', 'outbox', true), ('c', 'wal', 'tables', true);
        insert into annals.relay_checkpoints (relay, shard, shards, epoch, xid, sequence, complete)
        select 'r', 0, 1, epoch, xid, sequence, '9000000000' from annals.log_index where index = 14
        """)
      try await append(10, to: database)
      let expected = try await EventStore(database.pool).readLog(from: .start).events.map(\.id)
      let identity = try await EventStore(database.pool).identity()
      try await withDatabase(migrated: false) { other in
        // Transaction ids of the new cluster are lower than those of the log.
        try await restore(database, into: other)
        let session = try await other.session()
        #expect(try await LogIdentity.adopt(session) == (epoch: 2, moved: 10))
        let store = EventStore(other.pool)
        #expect(try await store.identity() == LogIdentity(id: identity.id, epoch: 2))
        try await append(10, to: other)
        try await sequence(40, of: other)
        let log = try await store.readLog(from: .start).events
        #expect(log.prefix(20).map(\.id) == expected)
        #expect(log.map(\.index) == (0..<40).map { LogIndex($0) })
        for number in 0..<5 {
          #expect(log.filter { $0.stream.id == "\(number)" }.map(\.version) == (1...8).map { StreamVersion($0) })
        }
        // The same by COPY, which counts along storage order.
        var copied: [UUID] = []
        _ = try await LogReader(store, other.options, on: other.reactor, logger: quietLogger()).read(from: .start) {
          copied += $0.map(\.id)
        }
        #expect(copied == log.map(\.id))
        var read: [UUID] = []
        let subscription = Subscription(
          "test", of: store, other.options, on: other.reactor, logger: quietLogger(), metrics: MetricsRegistry())
        struct Stop: Error {}
        await #expect(throws: Stop.self) {
          try await subscription.run { events in
            read += events.map(\.id)
            if read.count >= 28 { throw Stop() }
          }
        }
        #expect(read == log.dropFirst(12).map(\.id))
        // The outbox has the events' new places, and the relay's checkpoint means what it meant.
        #expect(
          try await session.value(
            "select count(*) from annals.outbox o join annals.events e using (epoch, xid, sequence, event_id)") == "40")
        #expect(
          try await session.value(
            """
            select count(*) from annals.outbox o, annals.relay_checkpoints c
            where (o.epoch, o.xid, o.sequence) > (c.epoch, c.xid, c.sequence)
            """) == "25")
        #expect(try await session.value("select complete from annals.relay_checkpoints") == "0")
        // That a connector's slot has been there is still known: its changes may be missing.
        #expect(try await session.value("select string_agg(relay, ',') from annals.relays where ready") == "c")
        session.close()
      }
      origin.close()
    }
  }

  @Test("an import that leaves the sequence behind draws no number twice")
  func sequenceBehind() async throws {
    try await withDatabase { database in
      try await append(10, to: database)
      let session = try await database.session()
      try await session.execute("select setval('annals.event_sequence', 1)")
      _ = try await LogIdentity.adopt(session)
      try await append(10, to: database)
      try await sequence(20, of: database)
      #expect(try await session.value("select count(distinct sequence) from annals.events") == "20")
      session.close()
    }
  }

  @Test("waits for writers, and gives up in time")
  func writers() async throws {
    try await withDatabase { database in
      let writer = try await database.session()
      try await writer.execute(
        """
        begin; select annals.append_event('thing-1', 'thing', 0, gen_random_uuid(), 'T', 1, '{}', '{"actor":"a"}', '1', 'c', null,
                                          '{}', null)
        """)
      let session = try await database.session()
      let error = await #expect(throws: PostgresError.self) { _ = try await LogIdentity.adopt(session) }
      guard case .server(let server)? = error else {
        Issue.record("\(error.map { "\($0)" } ?? "")")
        return
      }
      #expect(server.sqlState == "55P03")
      try await writer.execute("commit")
      #expect(try await LogIdentity.adopt(session).moved == 1)
      writer.close()
      session.close()
    }
  }
}
