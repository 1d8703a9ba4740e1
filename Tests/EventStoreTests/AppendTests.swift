import Metrics
import EventStore
import Events
import Identifiers
import Postgres
import Reactor
import Support
import Synchronization
import Testing

func event(_ type: String = "Happened", image: String = #"{"n":1}"#) -> NewEvent {
  NewEvent(type: type, data: Array(#"{ "amount":0.10}"#.utf8), change: RowChange(before: nil, after: Array(image.utf8)))
}

let metadata = EventMetadata(actor: "alice", correlationID: "c-1")

func stream() -> StreamID { StreamID(category: "thing", id: UUID.version7().description) }

extension PostgresSession {
  /// The first column of the first row.
  func value(_ sql: String) async throws -> String? { try await execute(sql).first?.first ?? nil }
}

@Suite("Appending to a stream", .workLimit(minutes: 5)) struct AppendTests {
  @Test("of arrays that do not belong together is refused: nothing is left out in silence")
  func unequalArrays() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      func call(types: Int = 2, datas: Int = 2, ops: Int = 2, keys: Int = 1) -> String {
        func array(_ element: String, _ count: Int, _ type: String) -> String {
          "array_fill(\(element)::\(type), array[\(count)])"
        }
        return """
          select outcome from annals.append_events(
            array['thing-1'], array['thing'], \(array("'1'", keys, "text")), array[0]::bigint[], array[1, 1],
            array[gen_random_uuid(), gen_random_uuid()], \(array("'T'", types, "text")), array[1, 1],
            \(array("'{}'", datas, "json")), \(array("'c'", ops, "text")), \(array("null", 2, "json")),
            \(array("'{}'", 2, "json")), '{"actor":"a"}', '{}')
          """
      }
      for statement in [
        call(types: 3), call(types: 1), call(datas: 3), call(ops: 1), call(ops: 3), call(keys: 2), call(keys: 0),
      ] {
        let error = await #expect(throws: PostgresError.self) { try await session.execute(statement) }
        guard case .server(let server)? = error else { continue }
        #expect(server.sqlState == "23514" && server.constraint == "append_events_check", "\(statement)")
      }
      #expect(try await session.value("select count(*) from annals.events") == "0")
      #expect(try await session.execute(call()) == [["appended"]])
      session.close()
    }
  }

  @Test(
    "numbers events without gaps, keeps them byte for byte, and writes their outbox rows in the same transaction (G1)")
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
      #expect(events.map(\.data) == Array(repeating: Array(#"{ "amount":0.10}"#.utf8), count: 3))
      let stored = try events[0].metadata
      #expect(stored == metadata)
      let backward = try await store.readBackward(stream, before: 3, limit: 1)
      #expect(backward.events.map(\.version) == [2] && backward.hasMore)
      let rows = try await database.pool.query(
        Query(
          "",
          """
          select count(*), count(distinct o.xid)
          from annals.outbox o join annals.events e using (epoch, xid, sequence, event_id, type, version)
          """))
      #expect(try rows[0].get(0, as: Int.self) == 3)
      #expect(try rows[0].get(1, as: Int.self) == 2)
    }
  }

  @Test("rolls events and outbox rows back together (G1)")
  func rollback() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let session = try await database.session()
      // The outbox has no room: the events must not stay either.
      try await session.execute("select setval('annals.event_sequence', 2000000)")
      for count in [1, 2] {
        await #expect(throws: AppendError.self) {
          try await store.append(
            (0..<count).map { _ in event() }, to: stream(), expecting: .any, metadata: metadata)
        }
      }
      #expect(try await session.value("select count(*) from annals.events") == "0")
      #expect(try await session.value("select count(*) from annals.streams") == "0")
      session.close()
    }
  }

  @Test("refuses a version that is not the stream's, tells the actual one and writes nothing", arguments: [1, 2])
  func conflict(_ count: Int) async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      let events = (0..<count).map { _ in event() }
      _ = try await store.append([event(), event()], to: stream, expecting: .any, metadata: metadata)
      for expected in [ExpectedVersion.noStream, .exact(1), .exact(3)] {
        await #expect(throws: AppendError.versionConflict(stream: stream, expected: expected, actual: 2)) {
          try await store.append(events, to: stream, expecting: expected, metadata: metadata)
        }
      }
      #expect(try await store.read(stream).events.count == 2)
    }
  }

  @Test("writes several streams or none (G1)")
  func severalStreams() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let (a, b) = (stream(), stream())
      let both = try await store.append(
        [
          StreamAppend([event(), event()], to: b, expecting: .noStream),
          StreamAppend([event()], to: a, expecting: .any),
        ], metadata: metadata)
      #expect(both.versions == [2, 1])
      await #expect(throws: AppendError.versionConflict(stream: b, expected: .exact(1), actual: 2)) {
        try await store.append(
          [StreamAppend([event()], to: a, expecting: .exact(1)), StreamAppend([event()], to: b, expecting: .exact(1))],
          metadata: metadata)
      }
      #expect(try await store.version(of: a) == 1)
      #expect(try await store.version(of: b) == 2)
      await #expect(throws: AppendError.sameStreamTwice) {
        try await store.append(
          [StreamAppend([event()], to: a, expecting: .any), StreamAppend([event()], to: a, expecting: .any)],
          metadata: metadata)
      }
    }
  }

  @Test("an archived stream takes no events, and is read")
  func archived() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      _ = try await store.append([event()], to: stream, expecting: .any, metadata: metadata)
      #expect(try await store.archive(stream) == 1)
      for count in [1, 2] {
        await #expect(throws: AppendError.archived([stream])) {
          try await store.append((0..<count).map { _ in event() }, to: stream, expecting: .any, metadata: metadata)
        }
      }
      #expect(try await store.read(stream).events.count == 1)
      #expect(try await store.archive(stream, false) == 1)
      #expect(try await store.append([event()], to: stream, expecting: .exact(1), metadata: metadata).version == 2)
    }
  }

  @Test("refuses what the log cannot hold")
  func checks() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      func append(
        stream: String = "thing-1", category: String = "thing", data: String = "{}",
        metadata: String = #"{"actor":"a"}"#,
        op: String = "'c'", before: String = "null", after: String = "'{}'"
      ) -> String {
        """
        select annals.append_event('\(stream)', '\(category)', 0, gen_random_uuid(), 'T', 1, '\(data)', '\(metadata)', '1',
                                   \(op), \(before), \(after), null)
        """
      }
      for (statement, constraint) in [
        (append(stream: "thing"), "streams_stream_id_check"), (append(stream: "other-1"), "streams_stream_id_check"),
        (append(stream: "thing-"), "streams_stream_id_check"),
        (append(stream: "a-b-1", category: "a-b"), "streams_category_check"), (append(data: "[]"), "events_data_check"),
        (append(metadata: "{}"), "events_metadata_check"), (append(op: "'x'"), "outbox_op_check"),
        (append(before: "'{}'"), "outbox_op_check"), (append(op: "'d'"), "outbox_op_check"),
      ] {
        do {
          try await session.execute(statement)
          Issue.record("\(statement) was allowed")
        } catch let PostgresError.server(error) { #expect(error.constraint == constraint, "\(statement)") }
      }
      for (statement, constraint) in [
        ("'thing', 'thing', '{}'", "streams_stream_id_check"), ("'a-b-1', 'a-b', '{}'", "streams_category_check"),
        ("'thing-1', 'thing', '[]'", "events_data_check"),
      ] {
        do {
          try await session.execute(
            """
            select annals.append_events(array[id], array[category], array['1'], array[0], array[1, 1],
              array[gen_random_uuid(), gen_random_uuid()], array['T', 'T'], array[1, 1], array['{}', data]::json[],
              array['c', 'u'], array[null, '{}']::json[], array['{}', '{}']::json[], '{"actor":"a"}', null)
            from (values (\(statement))) v(id, category, data)
            """)
          Issue.record("\(statement) was allowed")
        } catch let PostgresError.server(error) {
          #expect(error.constraint == constraint, "\(statement): \(error.message)")
        }
      }
      #expect(try await session.value("select count(*) from annals.events") == "0")
      session.close()
    }
  }

  @Test("must be the first write of an application's transaction")
  func first() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      try await session.execute("create table own (a int)")
      let append = """
        select outcome from annals.append_event('thing-1', 'thing', null, gen_random_uuid(), 'T', 1, '{}', '{"actor":"a"}', '1',
                                                'c', null, '{}', null)
        """
      try await session.execute("begin; insert into own values (1)")
      do {
        try await session.execute(append)
        Issue.record("an append after another write was allowed")
      } catch let PostgresError.server(error) { #expect(error.sqlState == "AN003") }
      try await session.execute("rollback; begin; \(append); insert into own values (2); commit")
      #expect(try await session.value("select count(*) from own, annals.events") == "1")
      session.close()
    }
  }

  @Test("cannot be undone: the log refuses update, delete and truncate, also in a replication's session")
  func appendOnly() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      let session = try await database.session()
      for role in ["origin", "replica"] {
        try await session.execute("set session_replication_role = \(role)")
        for statement in ["update annals.events set type = 'x'", "delete from annals.events", "truncate annals.events"]
        {
          do {
            try await session.execute(statement)
            Issue.record("\(statement) was allowed")
          } catch let PostgresError.server(error) { #expect(error.sqlState == "AN001") }
        }
      }
      session.close()
    }
  }
}

/// Races with an interleaving that is known: A has written and not committed while B comes, and waits.
@Suite("Writers of one stream at the same time", .workLimit(minutes: 5)) struct RaceTests {
  private static func append(_ stream: String, expected: String) -> String {
    """
    select outcome, version from annals.append_event('\(stream)', 'thing', \(expected), gen_random_uuid(), 'T', 1, '{}',
      '{"actor":"a"}', '1', 'c', null, '{}', null)
    """
  }

  private static func appendBoth(_ streams: [String], expected: String) -> String {
    """
    select outcome, versions from annals.append_events(
      array['\(streams[0])', '\(streams[1])'], array['thing', 'thing'], array['1', '2'], array[\(expected)]::bigint[],
      array[1, 2], array[gen_random_uuid(), gen_random_uuid()], array['T', 'T'], array[1, 1], array['{}', '{}']::json[],
      array['c', 'c'], array[null, null]::json[], array['{}', '{}']::json[], '{"actor":"a"}', null)
    """
  }

  /// Runs B while A's transaction is open, ends A when B waits, and returns what B got.
  private func interleave(
    _ database: TestDatabase, first: String, second: String, end: String
  ) async throws -> [[String?]] {
    let a = try await database.session()
    defer { a.close() }
    try await a.execute("begin; \(first)")
    let application = Stack.uniqueName("b")
    let waiting = Task(executorPreference: database.reactor) {
      let b = try await database.session()
      defer { b.close() }
      return try await b.execute("set application_name = '\(application)'; \(second)")
    }
    let watcher = try await database.session()
    defer { watcher.close() }
    try await eventually("B waits", on: database.reactor) {
      try await watcher.value(
        "select count(*) from pg_locks join pg_stat_activity using (pid) where application_name = '\(application)' and not granted"
      ) != "0"
    }
    try await a.execute(end)
    return try await waiting.value
  }

  @Test("of a new stream: the second sees a conflict with the first's version, or takes its place if it gave up")
  func newStream() async throws {
    try await withDatabase { database in
      let lost = try await interleave(
        database, first: Self.append("thing-1", expected: "0"), second: Self.append("thing-1", expected: "0"),
        end: "commit")
      #expect(lost == [["conflict", "1"]])
      let taken = try await interleave(
        database, first: Self.append("thing-2", expected: "0"), second: Self.append("thing-2", expected: "0"),
        end: "rollback")
      #expect(taken == [["appended", "1"]])
    }
  }

  @Test("at the same version: the second sees a conflict, or goes on if the first gave up")
  func sameVersion() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      for name in ["thing-1", "thing-2"] { try await session.execute(Self.append(name, expected: "0")) }
      let lost = try await interleave(
        database, first: Self.append("thing-1", expected: "1"), second: Self.append("thing-1", expected: "1"),
        end: "commit")
      #expect(lost == [["conflict", "2"]])
      let taken = try await interleave(
        database, first: Self.append("thing-2", expected: "1"), second: Self.append("thing-2", expected: "1"),
        end: "rollback")
      #expect(taken == [["appended", "2"]])
      session.close()
    }
  }

  @Test("with any version: the second comes behind the first, in storage order too")
  func anyVersion() async throws {
    try await withDatabase { database in
      let second = try await interleave(
        database, first: Self.append("thing-1", expected: "null"), second: Self.append("thing-1", expected: "null"),
        end: "commit")
      #expect(second == [["appended", "2"]])
      let session = try await database.session()
      #expect(
        try await session.value("select array_agg(version order by epoch, xid, sequence) from annals.events") == "{1,2}"
      )
      session.close()
    }
  }

  @Test("of several streams: the loser writes none of them")
  func severalStreams() async throws {
    try await withDatabase { database in
      do {
        _ = try await interleave(
          database, first: Self.append("thing-b", expected: "0"),
          second: Self.appendBoth(["thing-a", "thing-b"], expected: "0, 0"), end: "commit")
        Issue.record("both wrote")
      } catch let PostgresError.server(error) { #expect(error.sqlState == "AN002") }
      let session = try await database.session()
      #expect(try await session.value("select string_agg(stream_id, ' ') from annals.events") == "thing-b")
      session.close()
    }
  }

  @Test("of the same streams in opposite orders do not wait for each other")
  func noDeadlock() async throws {
    try await withDatabase { database in
      let second = try await interleave(
        database, first: Self.appendBoth(["thing-b", "thing-a"], expected: "0, 0"),
        second: Self.appendBoth(["thing-a", "thing-b"], expected: "0, 0"), end: "commit")
      #expect(second == [["conflict", "{1,1}"]])
      let third = try await interleave(
        database, first: Self.appendBoth(["thing-b", "thing-a"], expected: "null, null"),
        second: Self.appendBoth(["thing-a", "thing-b"], expected: "null, null"), end: "commit")
      #expect(third == [["appended", "{3,3}"]])
    }
  }

  @Test("lets one of many win each version; with any version all get in, each once")
  func many() async throws {
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
              if case .versionConflict(_, _, let actual) = error { return actual != 1 }
              return true
            }
          }
        }
        return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
      }
      #expect(wins == 1)
      let versions = try await withThrowingTaskGroup(of: StreamVersion.self) { group in
        for _ in 0..<40 {
          group.addTask { try await store.append([event()], to: stream, expecting: .any, metadata: metadata).version }
        }
        return try await group.reduce(into: Set()) { $0.insert($1) }
      }
      #expect(versions == Set((2...41).map { StreamVersion($0) }))
    }
  }
}

@Suite("A connection that breaks during an append", .workLimit(minutes: 5)) struct InterruptionTests {
  @Test(
    "is no conflict: what the server wrote all the same is found again, and is written once",
    arguments: [ExpectedVersion.any, .noStream, .exact(1)])
  func lostAnswer(_ expected: ExpectedVersion) async throws {
    try await withDatabase { database in
      let gate = try Gate(
        to: try Stack.postgres.split(separator: "/").dropLast().last.map(String.init) ?? "", isOpen: true)
      var options = database.options
      options.url = "postgresql://annals@127.0.0.1:\(gate.port)/\(database.name)"
      let pool = PostgresPool(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      try await pool.start(connections: 1)
      let stream = stream()
      let before: StreamVersion = expected == .exact(1) ? 1 : 0
      if before == 1 {
        _ = try await EventStore(database.pool).append([event()], to: stream, expecting: .noStream, metadata: metadata)
      }
      let blocker = try await database.session()
      // The server's statement waits for this lock while its client goes away.
      try await blocker.execute("begin; lock table annals.events in share mode")
      let hasEnded = Mutex(false)
      let appending = Task(executorPreference: database.reactor) {
        defer { hasEnded.withLock { $0 = true } }
        return try await EventStore(pool).append(
          [event(), event()], to: stream, expecting: expected, metadata: metadata)
      }
      let watcher = try await database.session()
      try await eventually("the server works on it", on: database.reactor) {
        try await watcher.value(
          "select count(*) from pg_locks where relation = 'annals.events'::regclass and not granted and database = (select oid from pg_database where datname = current_database())"
        )
          == "1"
      }
      gate.shut()
      try gate.open()
      try await eventually("the client tries again", on: database.reactor) {
        if hasEnded.withLock({ $0 }) { return true }
        return try await watcher.value(
          "select count(*) >= 2 from pg_stat_activity where datname = current_database() and query like '%append_events%' and pid <> pg_backend_pid()"
        ) == "t"
      }
      try await blocker.execute("commit")
      let result = try await appending.value
      #expect(result.version.value == before.value + 2)
      #expect(try await EventStore(database.pool).version(of: stream).value == before.value + 2)
      // A true conflict is still one.
      await #expect(throws: AppendError.self) {
        try await EventStore(pool).append([event()], to: stream, expecting: .noStream, metadata: metadata)
      }
      await pool.close()
      blocker.close()
      watcher.close()
    }
  }
}

@Suite("A command with a key", .workLimit(minutes: 5)) struct CommandKeyTests {
  private func key(_ request: UInt8 = 1) -> CommandKey {
    CommandKey("k-1", request: [request], answer: Array(#"{"n":1}"#.utf8))
  }

  @Test("is carried out once, and answers again what it answered first")
  func once() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      let appends = [StreamAppend([event()], to: stream, expecting: .any)]
      #expect(try await store.answer(to: "k-1", request: [1]) == nil)
      let first = try await store.append(appends, metadata: metadata, command: key())
      #expect(first.replayed == nil)
      let second = try await store.append(appends, metadata: metadata, command: key())
      #expect(second.replayed == Array(#"{"n":1}"#.utf8))
      #expect(try await store.version(of: stream) == 1)
      #expect(try await store.answer(to: "k-1", request: [1]) == Array(#"{"n":1}"#.utf8))
      await #expect(throws: AppendError.commandDiffers(key: "k-1")) {
        try await store.append(appends, metadata: metadata, command: key(2))
      }
      await #expect(throws: AppendError.commandDiffers(key: "k-1")) {
        _ = try await store.answer(to: "k-1", request: [2])
      }
    }
  }

  @Test("that is running is said to be; one that was rolled back leaves no answer")
  func running() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let a = try await database.session()
      try await a.execute(
        """
        begin; select annals.append_events(
          array['thing-1'], array['thing'], array['1'], array[null]::bigint[], array[1], array[gen_random_uuid()], array['T'],
          array[1], array['{}']::json[], array['c'], array[null]::json[], array['{}']::json[], '{"actor":"a"}', null, 'k-1',
          '\\x01', '{}')
        """)
      let appends = [StreamAppend([event()], to: stream(), expecting: .any)]
      await #expect(throws: AppendError.commandRunning(key: "k-1")) {
        try await store.append(appends, metadata: metadata, command: key())
      }
      try await a.execute("rollback")
      #expect(try await store.append(appends, metadata: metadata, command: key()).replayed == nil)
      a.close()
    }
  }

  @Test("is forgotten after one to two days, a part at a time")
  func expiry() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      let today = "mod((extract(epoch from clock_timestamp()) / 86400)::bigint, 4)"
      try await session.execute(
        "insert into annals.commands select part, 'k-' || part, '', '{}', now() from generate_series(0, 3) part")
      try await session.execute("select annals.maintain_outbox()")
      #expect(
        try await session.value(
          "select string_agg(key, ' ' order by key) = (select string_agg('k-' || part, ' ' order by part) from generate_series(0, 3) part where part <> mod(\(today) + 2, 4)) from annals.commands"
        )
          == "t")
      session.close()
    }
  }
}
