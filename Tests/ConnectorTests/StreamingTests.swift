@testable import Connector
import Kafka
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("Large transactions, sent while they run", .serialized, .workLimit(minutes: 5)) struct StreamingTests {
  /// Of tables in the schema public. The server streams whatever is larger than 64 kB, its least.
  private func options(_ database: TestDatabase, _ prefix: String, memory: Int) async throws -> RelayOptions {
    let session = try await database.session()
    try await session.execute("alter database \(database.name) set logical_decoding_work_mem = '64kB'")
    session.close()
    let connector = try ConnectorOptions(
      parsing: "topic.prefix=\(prefix)\nslot.name=\(prefix)\nconverter.schemas.enable=false\nsnapshot.mode=no_data\n"
        + "table.include.list=public.*\nmessage.prefix.exclude.list=.*\nprovide.transaction.metadata=true\n")
    var options = RelayOptions(
      postgres: database.options, kafka: KafkaOptions(brokers: try Stack.kafka), feed: ConnectorFeed(connector),
      slot: connector.slot, publication: connector.publication, partitions: 1, version: "test")
    options.spoolMemory = memory
    return options
  }

  /// The `n` of each message on a topic of one partition, in order, until `last` has come.
  private func numbers(_ topic: String, upTo last: Int, on reactor: Reactor) async throws -> [Int] {
    func number(_ message: KafkaMessage) -> Int {
      let digits = message.text.split(separator: "\"after\":{\"n\":").last?.prefix { $0.isNumber }
      return digits.flatMap { Int($0) } ?? -1
    }
    return try await readMessages(of: topic, on: reactor) { $0.last.map(number) == last }.map(number)
  }

  private func insert(_ numbers: ClosedRange<Int>) -> String {
    "insert into public.item select n, repeat('x', 500) from generate_series(\(numbers.lowerBound), \(numbers.upperBound)) n;"
  }

  /// In memory alone; and with so little of it that they go to disk, aborts of what lies there included.
  @Test("come whole, after their commits, without what was rolled back", arguments: [32 << 20, 50_000])
  func rolledBackParts(_ memory: Int) async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.item (n int, text text)")
      let options = try await options(database, prefix, memory: memory)
      try await whileRelaying(options, on: database.reactor) { _ in
        let (first, second) = (try await database.session(), try await database.session())
        try await first.execute("begin; " + insert(1...500))
        try await second.execute("begin; " + insert(10_001...10_400))
        try await session.execute(insert(20_001...20_002))
        // A part is rolled back whole; one inside another that is kept; one inside another that is rolled back.
        try await first.execute(
          "savepoint a; \(insert(501...1_000)) rollback to a;"
            + "savepoint b; \(insert(1_001...1_300)) savepoint c; \(insert(1_301...1_600)) rollback to c;"
            + "\(insert(1_601...1_700)) release b;"
            + "savepoint d; savepoint e; \(insert(1_701...2_000)) release e; \(insert(2_001...2_300)) rollback to d;")
        try await second.execute(insert(10_401...10_800))
        try await session.execute("begin; \(insert(30_001...30_600)) rollback")
        try await second.execute("commit")
        try await first.execute(insert(2_301...2_600) + "commit")
        try await session.execute(insert(40_000...40_000))
        let expected =
          Array(20_001...20_002) + Array(10_001...10_800) + Array(1...500) + Array(1_001...1_300)
          + Array(1_601...1_700) + Array(2_301...2_600) + [40_000]
        let found = try await numbers("\(prefix).public.item", upTo: 40_000, on: database.reactor)
        #expect(found == expected)
        first.close()
        second.close()
        let streamed = "select stream_txns > 0 from pg_stat_replication_slots where slot_name = '\(prefix)'"
        try await eventually("the server says that it streamed", on: database.reactor) {
          try await session.execute(streamed) == [["t"]]
        }
      }
      session.close()
    }
  }

  @Test("are there again after a restart in their midst, and their tables' layouts change in their midst")
  func restartsAndLayouts() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.item (n int, text text)")
      let options = try await options(database, prefix, memory: 50_000)
      let large = try await database.session()
      try await whileRelaying(options, on: database.reactor) { _ in
        try await large.execute("begin; \(insert(1...600))")
        try await session.execute("insert into item values (9000, '')")
        _ = try await numbers("\(prefix).public.item", upTo: 9_000, on: database.reactor)
      }
      try await large.execute(
        """
        savepoint a; alter table public.item add column wrong int; \(insert(601...900)) rollback to a;
        alter table public.item add column more int default 7; alter table public.item rename text to words;
        \(insert(901...1_500))
        """)
      try await whileRelaying(options, on: database.reactor) { _ in
        try await large.execute(
          "alter table public.item drop column words; insert into public.item values (1501, 8); commit")
        try await session.execute("insert into item values (9999, 9)")
        let found = try await numbers("\(prefix).public.item", upTo: 9_999, on: database.reactor)
        #expect(found == [9_000] + Array(1...600) + Array(901...1_501) + [9_999])
      }
      large.close()
      session.close()
    }
  }

  @Test("that cannot be kept stop the relay with what to do, and lose nothing")
  func noRoom() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.item (n int, text text)")
      var options = try await options(database, prefix, memory: 50_000)
      options.spoolDirectory = "/nowhere"
      try await whileRelaying(options, on: database.reactor) { relay in
        try await session.execute(insert(1...2_000))
        try await eventually("it says so", on: database.reactor) {
          await relay.problem?.hasPrefix("a large transaction cannot be kept in /nowhere: No such file") == true
        }
      }
      options.spoolDirectory = "/tmp"
      try await whileRelaying(options, on: database.reactor) { _ in
        let found = try await numbers("\(prefix).public.item", upTo: 2_000, on: database.reactor)
        #expect(found == Array(1...2_000))
      }
      session.close()
    }
  }
}
