import Glibc
import Identifiers
import Metrics
@testable import Postgres
import Reactor
import Support
import Testing
import Time

@Suite("A pipelined connection", .workLimit(minutes: 5)) struct ConnectionTests {
  @Test("sends and reads every type it has")
  func types() async throws {
    try await withDatabase(migrated: false) { database in
      let id = UUID.version7()
      let now = Timestamp.now()
      let rows = try await database.pool.query(
        Query(
          "types",
          "select $1::text, $2::bigint, $3::boolean, $4::uuid, $5::timestamptz, $6::jsonb, $7::bytea, $8::pg_lsn, "
            + "$9::xid8, $10::double precision, cardinality($11::text[]), null::text, ($11::text[])[2]"),
        [
          .text("é"), .bigint(-5), .bool(true), .uuid(id), .timestamp(now), .jsonb(Array(#"{"a":1}"#.utf8)),
          .bytes([0, 255]), .lsn(LogSequenceNumber(77)), .xid8(TransactionID(99)), .double(1.5),
          .texts(["a", nil, "c"]),
        ])
      let row = rows[0]
      #expect(try row.get(0, as: String.self) == "é")
      #expect(try row.get(1, as: Int64.self) == -5)
      #expect(try row.get(2, as: Bool.self))
      #expect(try row.get(3, as: UUID.self) == id)
      #expect(try row.get(4, as: Timestamp.self) == now)
      #expect(try row.get(5, as: JSONText.self).bytes == Array(#"{"a": 1}"#.utf8))
      #expect(try row.get(6, as: [UInt8].self) == [0, 255])
      #expect(try row.get(7, as: LogSequenceNumber.self) == LogSequenceNumber(77))
      #expect(try row.get(8, as: TransactionID.self) == TransactionID(99))
      #expect(try row.get(9, as: Double.self) == 1.5)
      #expect(try row.get(10, as: Int.self) == 3)
      #expect(try row.optional(11, as: String.self) == nil)
      #expect(row.isNull(12))
      #expect(throws: PostgresError.decoding(column: 0, expected: "Bool")) { try row.get(0, as: Bool.self) }
    }
  }

  @Test("keeps many statements under way and answers each with its own result")
  func pipelining() async throws {
    try await withDatabase(migrated: false) { database in
      try await withThrowingTaskGroup(of: (Int, Int).self) { group in
        for number in 0..<500 {
          group.addTask {
            let rows = try await database.pool.query(Query("double", "select $1::bigint * 2"), [.bigint(Int64(number))])
            return (number, try rows[0].get(0))
          }
        }
        for try await (number, double) in group { #expect(double == number * 2) }
      }
    }
  }

  @Test("an error takes nothing else in the pipeline with it")
  func isolation() async throws {
    try await withDatabase(migrated: false) { database in
      // One connection: both statements are in one pipeline.
      let pool = PostgresPool(database.options, on: database.reactor, logger: quietLogger(), metrics: .init())
      try await pool.start(connections: 1)
      async let bad = pool.query(Query("bad", "select 1 / $1::bigint"), [.bigint(0)])
      async let good = pool.query(Query("good", "select $1::bigint"), [.bigint(7)])
      #expect(try await good[0].get(0, as: Int.self) == 7)
      do {
        _ = try await bad
        Issue.record("no error")
      } catch let PostgresError.server(error) {
        #expect(error.sqlState == "22012")
        #expect(error.query == "bad")
      }
      // A statement whose preparation failed is prepared again the next time.
      for _ in 0..<2 {
        await #expect(throws: PostgresError.self) { try await pool.query(Query("broken", "select nothing")) }
      }
      await pool.close()
    }
  }

  @Test("a transaction happens as a whole or not at all")
  func transaction() async throws {
    try await withDatabase(migrated: false) { database in
      try await database.pool.query(Query("", "create table t (n bigint primary key)"))
      let insert = Query("insert", "insert into t values ($1)")
      await #expect(throws: PostgresError.self) {
        try await database.pool.transaction([(insert, [.bigint(1)]), (insert, [.bigint(2)]), (insert, [.bigint(1)])])
      }
      let rows = try await database.pool.query(Query("", "select count(*) from t"))
      #expect(try rows[0].get(0, as: Int.self) == 0)
    }
  }

  @Test("a cancelled task is told at once")
  func cancellation() async throws {
    try await withDatabase(migrated: false) { database in
      let waiting = Task(executorPreference: database.reactor) {
        try await database.pool.query(Query("", "select pg_sleep(10)"))
      }
      try await eventually("the statement runs", on: database.reactor) {
        try await database.session().execute(
          "select 1 from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
        ).count == 1
      }
      waiting.cancel()
      await #expect(throws: PostgresError.cancelled) { try await waiting.value }
    }
  }

  @Test("the pool connects again when its connections are ended")
  func reconnect() async throws {
    try await withDatabase(migrated: false) { database in
      try await database.session().execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
      )
      try await eventually("the pool answers again", on: database.reactor) {
        do { return try await database.pool.query(Query("one", "select 1")).count == 1 } catch { return false }
      }
    }
  }

  @Test("hears notifications")
  func listen() async throws {
    try await withDatabase(migrated: false) { database in
      let connection = try await PostgresConnection.connect(
        database.options, on: database.reactor, logger: quietLogger())
      let heard = Doorbell(on: database.reactor)
      try await connection.listen("news") { heard.ring() }
      try await database.pool.query(Query("", "select pg_notify('news', '')"))
      #expect(await heard.wait(timeout: .seconds(5)) == .rung)
      await connection.close()
      heard.close()
    }
  }

  @Test("an unreachable server is named with the remedy")
  func unreachable() async throws {
    try await withReactor { reactor in
      let options = PostgresOptions(url: "postgresql://annals@127.0.0.1:1/x", connectTimeout: .seconds(2))
      do {
        _ = try await PostgresConnection.connect(options, on: reactor, logger: quietLogger())
        Issue.record("connected to nothing")
      } catch {
        #expect("\(error)".contains("127.0.0.1:1"))
        #expect("\(error)".contains("ANNALS_POSTGRES_URL"))
        #expect((error as? PostgresError)?.isRetriable == true)
      }
    }
  }
}

@Suite("A session of one's own", .workLimit(minutes: 5)) struct SessionTests {
  @Test("runs scripts and tells which statement the server refused")
  func scripts() async throws {
    try await withDatabase(migrated: false) { database in
      let session = try await database.session()
      let rows = try await session.execute(
        "create table t (n int, s text); insert into t values (1, null); select * from t")
      #expect(rows == [["1", nil]])
      await #expect(throws: PostgresError.self) { try await session.execute("select nonsense", name: "nonsense") }
      #expect(try await session.execute("select 2") == [["2"]])
      session.close()
    }
  }

  @Test("copies rows in and out")
  func copy() async throws {
    try await withDatabase(migrated: false) { database in
      let session = try await database.session()
      try await session.execute("create table t (n int, s text)")
      var next = 0
      let count = try await session.copyIn(Query("copy in", "copy t from stdin")) {
        next += 1
        return next > 20_000 ? nil : Array("\(next)\trow \(next)\n".utf8)
      }
      #expect(count == 20_000)
      var rows = 0
      try await session.copyOut(Query("copy out", "copy t to stdout")) { _ in rows += 1 }
      #expect(rows == 20_000)
      #expect(try await session.execute("select count(*) from t") == [["20000"]])
      session.close()
    }
  }

  @Test("streams a slot's changes and confirms them")
  func replication() async throws {
    try await withDatabase(migrated: false) { database in
      let session = try await database.session()
      let slot = Stack.uniqueName("slot")
      try await session.execute(
        "create table t (n int primary key); create publication p for table t;")
      try await session.execute("select pg_create_logical_replication_slot('\(slot)', 'pgoutput')")
      try await session.execute("insert into t values (1)")
      let stream = try await ReplicationStream.start(
        slot: slot, options: [("proto_version", "1"), ("publication_names", "p")], connecting: database.options,
        on: database.reactor, logger: quietLogger())
      var kinds = ""
      var end = LogSequenceNumber.zero
      while !kinds.contains("C") {
        _ = try await stream.receive(timeout: .seconds(5)) { message in
          if case .data(let start, let payload) = message {
            kinds += String(Unicode.Scalar(payload[0]))
            end = max(end, start)
          }
        }
      }
      #expect(kinds == "BRIC")
      try await stream.confirm(LogSequenceNumber(end.value + 1))
      try await eventually("the slot is confirmed", on: database.reactor) {
        try await session.execute(
          "select confirmed_flush_lsn >= '\(end)' from pg_replication_slots where slot_name = '\(slot)'") == [["t"]]
      }
      stream.close()
      session.close()
    }
  }
}

@Suite("Connecting", .workLimit(minutes: 2)) struct ConnectingTests {
  /// A server that takes connections and never answers, and the address of the real one.
  private func withSilentServer(
    _ body: @Sendable (_ silent: UInt16, _ host: Substring, _ port: Substring) async throws -> Void
  )
    async throws
  {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = bind(listener, $0, size)
        listen(listener, 16)
        getsockname(listener, $0, &size)
      }
    }
    let real = try Stack.postgres.split(separator: "@")[1].split(separator: "/")[0].split(separator: ":")
    try await body(UInt16(bigEndian: address.sin_port), real[0], real[1])
  }

  @Test("a host that does not answer costs the next one none of its time", arguments: ["read-write", "prefer-standby"])
  func failover(_ attributes: String) async throws {
    try await withSilentServer { silent, host, port in
      try await withDatabase(migrated: false) { database in
        var options = database.options
        options.url =
          "postgresql://annals@127.0.0.1:\(silent),localhost:\(port)/\(database.name)?target_session_attrs=\(attributes)"
        options.connectTimeout = .seconds(3)
        let session = try await PostgresSession.connect(options, on: database.reactor, logger: quietLogger())
        #expect(try await session.execute("select current_database()") == [[database.name]])
        session.close()
      }
    }
  }

  @Test("hosts without ports have the usual one")
  func ports() throws {
    let plan = try ConnectionPlan("postgresql://a,b:7/x")
    #expect(plan.targets.map(\.host) == ["a", "b"] && plan.targets.map(\.port) == ["5432", "7"])
    #expect(try ConnectionPlan("host=/run,b port=9").targets.map(\.port) == ["9", "9"])
    #expect(try ConnectionPlan("host=/run,b port=9").targets.map(\.needsLookup) == [false, true])
  }

  @Test("names each host that cannot be used, and no password")
  func messages() async throws {
    try await withReactor { reactor in
      for url in [
        "postgresql://annals:hunter2@none.invalid:1,127.0.0.1:1/x", "postgresql://annals:hunter2@127.0.0.1:x/x",
        "postgresq://annals:hunter2@h/x", "host=h password=hunter2 nonsense", "postgresql://annals:se@hunter2@h/x",
        "host=a,b hostaddr=,127.0.0.1 password=hunter2", "host=a,b port=1,2,3 password=hunter2",
      ] {
        let error = await #expect(throws: PostgresError.self) {
          try await PostgresSession.connect(
            PostgresOptions(url: url, connectTimeout: .seconds(2)), on: reactor, logger: quietLogger())
        }
        #expect(error.map { "\($0)".contains("hunter2") } == false, "\(error.map { "\($0)" } ?? "")")
      }
    }
  }

  @Test("a session that an error leaves without closing it takes its watch with it")
  func droppedSession() async throws {
    let options = PostgresOptions(url: try Stack.postgres)
    try await withReactor { reactor in
      for _ in 0..<20 {
        let abandoned = Task(executorPreference: reactor) {
          try await reactor.run {
            let session = try await PostgresSession.connect(options, on: reactor, logger: quietLogger())
            try await session.execute("select 1 from pg_sleep(0.002)")
            // Cancelled at once: the wait begins, and is over before the loop knows of it.
            withUnsafeCurrentTask { $0?.cancel() }
            try await session.execute("select 1 from pg_sleep(5)")
          }
        }
        await #expect(throws: PostgresError.cancelled) { try await abandoned.value }
        // The descriptor's number is the next connection's.
        let next = try await PostgresSession.connect(options, on: reactor, logger: quietLogger())
        #expect(try await next.execute("select 1") == [["1"]])
        next.close()
      }
    }
  }

  @Test("a look-up has a time limit and hears a cancellation")
  func lookUp() async throws {
    try await withReactor { reactor in
      let address = try await NameLookup.addresses(of: "127.0.0.1", within: .seconds(1), on: reactor)
      #expect(address == ["127.0.0.1"])
      // Without a time for a name server: it is never asked.
      let local = try await NameLookup.addresses(of: "localhost", within: .zero, on: reactor)
      #expect(local == ["127.0.0.1", "::1"])
      // The system reads this form of an address; no name server is asked for it either.
      let short = try await NameLookup.addresses(of: "127.1", within: .seconds(30), on: reactor)
      #expect(short == ["127.0.0.1"])
      await #expect(throws: NameLookupError.self) {
        try await NameLookup.addresses(of: "none.invalid", within: .seconds(10), on: reactor)
      }
      await #expect(throws: NameLookupError.self) {
        try await NameLookup.addresses(of: "none.invalid", within: .zero, on: reactor)
      }
      let waiting = Task(executorPreference: reactor) {
        try await NameLookup.addresses(of: "none.invalid", within: .seconds(60), on: reactor)
      }
      waiting.cancel()
      await #expect(throws: NameLookupError.self) { try await waiting.value }
    }
  }

  @Test(
    "a statement heals after its plan does not fit any more, and behind a transaction that failed before preparing it")
  func staleStatements() async throws {
    try await withDatabase(migrated: false) { database in
      let connection = try await PostgresConnection.connect(
        database.options, on: database.reactor, logger: quietLogger())
      let session = try await database.session()
      try await session.execute("create table t (a int); insert into t values (1)")
      let all = Query("all", "select * from t")
      #expect(try await connection.query(all).count == 1)
      // 0A000: the plan's result type has changed.
      try await session.execute("alter table t add column b text")
      #expect(try await connection.query(all)[0].isNull(1))
      // The first transaction fails before it comes to prepare “later”; calls behind it in the pipeline count on that.
      let (broken, later) = (Query("broken", "select 1 / $1::int"), Query("later", "select $1::bigint + 1"))
      let failed = Task(executorPreference: database.reactor) {
        try await connection.transaction([(broken, [.integer(0)]), (later, [.bigint(1)])])
      }
      let behind = [1, 2].map { number in
        Task(executorPreference: database.reactor) {
          try await connection.query(later, [.bigint(number)])[0].get(0, as: Int64.self)
        }
      }
      await #expect(throws: PostgresError.self) { _ = try await failed.value }
      #expect(try await behind[0].value == 2)
      #expect(try await behind[1].value == 3)
      // 26000: another client of the same session removed it, as a pooler may.
      try await connection.query(Query("", "deallocate all"))
      #expect(try await connection.query(later, [.bigint(5)])[0].get(0, as: Int64.self) == 6)
      session.close()
      await connection.close()
    }
  }
}
