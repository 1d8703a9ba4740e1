import EventStore
import Identifiers
import Kafka
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("Catching up from the table", .serialized, .workLimit(minutes: 5)) struct CatchUpTests {
  private func lsn(_ value: UInt64) -> LogSequenceNumber { LogSequenceNumber(value) }

  @Test("a snapshot is read and written as the server writes it, and sees what the server's sees")
  func snapshots() throws {
    let snapshot = try #require(TransactionSnapshot("100:110:101,105"))
    #expect(snapshot.description == "100:110:101,105")
    #expect(
      [99, 100, 101, 104, 105, 109, 110].map { snapshot.sees($0) } == [true, true, false, true, false, true, false])
    for text in ["", "1:2", "2:1:", "1:2:x"] { #expect(TransactionSnapshot(text) == nil) }
  }

  @Test("a watermark counts once its position is confirmed, and lets no row pass that it sees")
  func watermark() throws {
    let watermark = Watermark()
    #expect(watermark.published(confirmed: lsn(1_000)) == nil)
    watermark.offer(try #require(TransactionSnapshot("10:12:")), at: lsn(50))
    #expect(!watermark.advance(confirmed: lsn(49)))
    #expect(watermark.advance(confirmed: lsn(50)))
    // Committed before its position: what it sees has been published, what it does not see has not.
    watermark.begin(commit: lsn(40))
    #expect(!watermark.takes(11))
    watermark.commit(end: lsn(41))
    watermark.begin(commit: lsn(45))
    #expect(watermark.takes(12))
    watermark.commit(end: lsn(46))
    // Behind its position nothing that it sees can come: numbers are not even compared.
    watermark.begin(commit: lsn(60))
    #expect(watermark.takes(3))
    watermark.commit(end: lsn(61))
    #expect(watermark.published(confirmed: lsn(50))?.others == [12])
    #expect(watermark.published(confirmed: lsn(100))?.others == [12, 3])
    watermark.reset(to: try #require(TransactionSnapshot("20:20:")), at: lsn(70))
    #expect(watermark.published(confirmed: lsn(100))?.others == [])
  }

  @Test("waits for whatever had a number when the position was noted")
  func plan() throws {
    func source(_ snapshot: String) throws -> SourcePosition {
      SourcePosition(
        snapshot: try #require(TransactionSnapshot(snapshot)), inserted: lsn(9), flushed: lsn(8), lastEvent: 0, epoch: 1
      )
    }
    var plan = CatchUpPlan(at: try source("5:10:5"), bound: 12)
    #expect(plan.start == lsn(8))
    // 11 has begun and is in no snapshot yet, because none behind it has ended.
    plan.observe(try source("10:10:"))
    #expect(!plan.isReady)
    plan.observe(try source("12:14:12"))
    #expect(!plan.isReady)
    plan.observe(try source("13:14:"))
    #expect(plan.isReady)
  }

  @Test("reads what no reader of the WAL has published, each event once, while writers go on and none waits (G3)")
  func catchesUp() async throws {
    try await withDatabase { database in
      let (topic, metrics) = (Stack.uniqueName("cdc"), MetricsRegistry())
      var options = try outboxOptions(database, topic: topic)
      options.catchUp = 1
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: metrics)
      let caughtUp = metrics.counter("annals_relay_catch_ups_total", help: "")
      // Not by cancelling: the server would go on with what it had begun.
      let over = Counter()
      let writers = Task(executorPreference: database.reactor) {
        try await withThrowingTaskGroup { group in
          for writer in 1...8 {
            group.addTask {
              let session = try await database.session()
              while over.value == 0 {
                try await session.execute(Self.appending(10, to: "\(writer)"))
                try await database.reactor.sleep(for: .milliseconds(50))
              }
              session.close()
            }
          }
          try await group.waitForAll()
        }
      }
      let backlog = try await database.session()
      try await whileRelaying(options, on: database.reactor) { _ in }
      var (rounds, wasCutShort) = (0, false)
      while caughtUp.value < 4, rounds < 30 {
        rounds += 1
        // Written while nobody relays, each event in a transaction of its own.
        try await backlog.execute(Self.appending(5_000, to: "0"))
        let before = caughtUp.value
        let running = Task(executorPreference: database.reactor) { await relay.run() }
        // A transaction elsewhere on the server may hold it up for so long that the WAL is faster: another round then.
        let deadline = ContinuousClock.now + .seconds(2)
        // A stop in the midst of it would repeat what it has read.
        while caughtUp.value == before {
          if .now > deadline, await relay.reading == nil {
            wasCutShort = true
            break
          }
          try await database.reactor.sleep(for: .milliseconds(5))
        }
        running.cancel()
        await running.value
      }
      #expect(caughtUp.value >= 4, "after \(rounds) rounds")
      over.increment()
      try await writers.value
      let counts = try await backlog.execute("select key, count(*) from annals.outbox group by 1")
      backlog.close()
      let count = counts.reduce(0) { $0 + (Int($1[1] ?? "") ?? 0) }
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      let messages = try await RelayTests.read(from: topic, on: database.reactor, events: count)
      running.cancel()
      await running.value
      // A relay that was stopped under way may send again what it had not confirmed (G4); nothing else comes twice.
      #expect(messages.count == count || wasCutShort)
      for row in counts {
        let versions = messages.filter { $0.key == Array(#"{"id":"\#(row[0] ?? "")"}"#.utf8) }
          .compactMap(\.version)
        let last = Int(row[1] ?? "") ?? 0
        let isInOrder =
          wasCutShort
          ? versions.last == last && zip([0] + versions, versions).allSatisfy { $1 <= $0 + 1 }
          : versions == Array(1...last)
        #expect(isInOrder, "\(row), \(versions.count) arrived")
      }
    }
  }

  @Test("after a relay that was killed it leaves out nothing behind what it sends again (G4)")
  func afterAKill() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      var options = try outboxOptions(database, topic: topic)
      options.catchUp = 0
      let session = try await database.session()
      func early() async throws -> (snapshot: String, lsn: String) {
        let row = try await session.execute("select pg_current_snapshot(), pg_current_wal_lsn()").first
        return (row?.first.flatMap { $0 } ?? "", row?.last.flatMap { $0 } ?? "")
      }
      var before = (snapshot: "", lsn: "")
      try await whileRelaying(options, on: database.reactor) { _ in
        try await session.execute(Self.appending(1, to: "a"))
        _ = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 1 }
        before = try await early()
        try await session.execute(Self.appending(1, to: "a"))
        _ = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 2 }
      }
      // As a relay leaves it that was killed after its second message: the slot knows of that, the watermark does not.
      func kill() async throws {
        try await session.execute(
          """
          update annals.relays set watermark = '\(before.snapshot)', watermark_lsn = '\(before.lsn)',
            published = '{}', published_lsn = '\(before.lsn)'
          where relay = '\(options.slot)'
          """)
      }
      try await kill()
      options.catchUp = 1
      let metrics = MetricsRegistry()
      let caughtUp = metrics.counter("annals_relay_catch_ups_total", help: "")
      var total = 2
      for _ in 0..<30 where caughtUp.value == 0 {
        // The third is sent from the WAL, and then the table is read: from the second on.
        try await session.execute(Self.appending(1, to: "a"))
        try await session.execute(Self.appending(5_000, to: "0"))
        total += 5_001
        let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: metrics)
        let running = Task(executorPreference: database.reactor) { await relay.run() }
        _ = try await RelayTests.read(from: topic, on: database.reactor, events: total)
        while await relay.reading != nil { try await database.reactor.sleep(for: .milliseconds(5)) }
        running.cancel()
        await running.value
        if caughtUp.value == 0 {
          before = try await early()
          try await kill()
        }
      }
      session.close()
      #expect(caughtUp.value > 0)
      let messages = try await RelayTests.read(from: topic, on: database.reactor, events: total)
      var last: [[UInt8]?: Int] = [:]
      var skips: [String] = []
      for message in messages {
        guard let version = message.version else { continue }
        let previous = last[message.key] ?? 0
        if version > previous + 1 { skips.append("\(previous), \(version)") }
        last[message.key] = version
      }
      #expect(skips.isEmpty, "\(skips.prefix(5))")
      let (ends, newest) = (last, Dictionary(messages.map { ($0.key, $0.version ?? 0) }, uniquingKeysWith: max))
      #expect(ends == newest, "a key ends with an old message")
    }
  }

  /// A statement that appends events to a stream, each in a transaction of its own.
  private static func appending(_ count: Int, to key: String) -> String {
    """
    do $$ begin
      for n in 1..\(count) loop
        perform annals.append_event(
          'thing-\(key)', 'thing', null, gen_random_uuid(), 'Counted', 1, '{}', '{"actor":"a"}', '\(key)', 'u', '{}',
          '{"n":1}', null);
        commit;
      end loop;
    end $$
    """
  }

  @Test("a stop in the midst of a backlog repeats no transaction of one event")
  func stopsBetweenTransactions() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      var options = try outboxOptions(database, topic: topic)
      // A stop in the midst of catching up would repeat what has been read.
      options.catchUp = 0
      try await whileRelaying(options, on: database.reactor) { _ in }
      let session = try await database.session()
      try await session.execute(Self.appending(8_000, to: "0"))
      session.close()
      for _ in 0..<20 {
        try await whileRelaying(options, on: database.reactor) { _ in
          try await database.reactor.sleep(for: .milliseconds(Int.random(in: 1...20)))
        }
      }
      try await whileRelaying(options, on: database.reactor) { _ in
        let messages = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 8_000 }
        #expect(messages.count == 8_000)
      }
    }
  }

  @Test("leaves the WAL alone while a long transaction runs, and goes on by it")
  func longTransaction() async throws {
    try await withDatabase { database in
      let (topic, metrics) = (Stack.uniqueName("cdc"), MetricsRegistry())
      var options = try outboxOptions(database, topic: topic)
      try await whileRelaying(options, on: database.reactor) { _ in }
      options.catchUp = 1
      let holder = try await database.session()
      try await holder.execute("begin; select pg_current_xact_id()")
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: metrics)
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      try await eventually("the relay streams", on: database.reactor) { await relay.state == .streaming }
      let id = UUID.version7().description
      for version in 1...20 {
        try await database.append(id, version...version)
      }
      let messages = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 20 }
      #expect(messages.count == 20)
      #expect(metrics.counter("annals_relay_catch_ups_total", help: "").value == 0)
      try await holder.execute("rollback")
      holder.close()
      running.cancel()
      await running.value
    }
  }

  @Test("a stop while a new slot is prepared loses nothing of what it did not tell of (G10)")
  func stoppedPreparation() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      let options = try outboxOptions(database, topic: topic)
      let id = UUID.version7().description
      try await whileRelaying(options, on: database.reactor) { _ in
        try await database.append(id, 1...3)
        _ = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 3 }
      }
      let session = try await database.session()
      try await database.dropSlot(options.slot, session)
      try await database.append(id, 4...6)
      // A broker that does not answer: the slot is made, its backlog is not published.
      var unreachable = options
      unreachable.kafka = KafkaOptions(brokers: "127.0.0.1:1")
      let relay = try Relay(unreachable, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      try await eventually("the slot is made", on: database.reactor) {
        try await !session.execute(
          "select 1 from pg_replication_slots where slot_name = '\(options.slot)' and confirmed_flush_lsn is not null"
        ).isEmpty
      }
      running.cancel()
      await running.value
      session.close()
      try await whileRelaying(options, on: database.reactor) { _ in
        try await database.append(id, 7...7)
        let messages = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 7 }
        #expect(messages.compactMap(\.version) == Array(1...7))
      }
    }
  }

  @Test(
    "an adopted log is sent once more, and no more after that: rows of an earlier epoch are behind whatever comes (G4)",
    arguments: [RelayOptions.Source.wal, .table(shard: 0, of: 1)])
  func adopted(_ source: RelayOptions.Source) async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      var options = try outboxOptions(database, topic: topic)
      let id = UUID.version7().description
      try await database.append(id, 1...3)
      let session = try await database.session()
      try await eventually("the events have indexes", on: database.reactor) {
        try await session.execute("select annals.sequence_events()")
        return try await session.execute("select count(*) from annals.log_index").first?.first == "3"
      }
      // The other cluster had given out higher numbers.
      try await session.execute("update annals.outbox set xid = '9000000000'")
      func read(_ count: Int) async throws -> [Int] {
        try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= count }.compactMap(\.version)
      }
      try await whileRelaying(options, on: database.reactor) { _ in
        #expect(try await read(3) == [1, 2, 3])
        _ = try await LogIdentity.adopt(session)
        // The relay notices by itself.
        #expect(try await read(6) == [1, 2, 3, 1, 2, 3])
        try await database.append(id, 4...4)
        _ = try await read(7)
      }
      try await database.dropSlot(options.slot, session)
      session.close()
      try await database.append(id, 5...5)
      options.source = source
      try await whileRelaying(options, on: database.reactor) { _ in
        try await database.append(id, 6...6)
        #expect(try await read(9) == [1, 2, 3, 1, 2, 3, 4, 5, 6])
      }
    }
  }

  @Test("a slot that is lost sends again what the watermark does not see, and no more (G10)")
  func lostSlot() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      let options = try outboxOptions(database, topic: topic)
      let id = UUID.version7().description
      try await whileRelaying(options, on: database.reactor) { _ in
        try await database.append(id, 1...30)
        _ = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 30 }
      }
      let session = try await database.session()
      try await database.dropSlot(options.slot, session)
      session.close()
      try await database.append(id, 31...40)
      try await whileRelaying(options, on: database.reactor) { _ in
        try await database.append(id, 41...42)
        let messages = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 42 }
        #expect(messages.count == 42)
      }
    }
  }
}
