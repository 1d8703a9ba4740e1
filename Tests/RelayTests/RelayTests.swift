import EventStore
import Events
import Identifiers
import JSON
import Kafka
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("The relay", .serialized, .workLimit(minutes: 5)) struct RelayTests {
  /// Reads the messages about things.
  static func read(
    from topic: String, on reactor: Reactor, until isEnough: ([KafkaMessage]) -> Bool
  ) async throws -> [KafkaMessage] {
    try await readMessages(of: "\(topic).things", on: reactor, until: isEnough)
  }

  /// Reads the messages about things until they tell of so many events.
  static func read(from topic: String, on reactor: Reactor, events: Int) async throws -> [KafkaMessage] {
    try await readMessages(of: "\(topic).things", on: reactor, events: events)
  }

  @Test("publishes each outbox row as a change event with its headers, and a tombstone after a deletion")
  func envelopes() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      let store = EventStore(database.pool)
      let relay = try Relay(
        try outboxOptions(database, topic: topic), on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      try await eventually("the relay streams", on: database.reactor) { await relay.state == .streaming }
      let id = UUID.version7().description
      let stream = StreamID(category: "thing", id: id)
      let metadata = EventMetadata(actor: "a", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
      let events =
        thingEvents(id, 1...2) + [
          NewEvent(
            type: "Gone", data: Array("{}".utf8), change: RowChange(before: Array(#"{"id":"x"}"#.utf8), after: nil))
        ]
      _ = try await store.append(events, to: stream, expecting: .noStream, metadata: metadata)
      let messages = try await Self.read(from: topic, on: database.reactor) { $0.count >= 4 }
      #expect(messages.count == 4)
      #expect(
        messages.map { $0.key.map { String(decoding: $0, as: UTF8.self) } }
          == Array(repeating: #"{"id":"\#(id)"}"#, count: 4))
      let values = try messages.map { try $0.value.map { try JSONValue(parsing: $0) } }
      #expect(values.map { $0?["op"]?.string } == ["c", "u", "d", nil])
      #expect(values[3] == nil)
      #expect(values[0]?["before"] == .null)
      #expect(values[0]?["after"]?.description == #"{"id":"\#(id)","n":1}"#)
      #expect(values[1]?["before"] == values[0]?["after"])
      #expect(values[2]?["after"] == .null)
      #expect(
        values[0]?.object?.members.map(\.name) == [
          "before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns",
        ])
      #expect(
        values[0]?["source"]?.object?.members.map(\.name) == [
          "version", "connector", "name", "ts_ms", "snapshot", "db", "sequence", "ts_us", "ts_ns", "schema", "table",
          "txId", "lsn", "xmin", "origin", "origin_lsn",
        ])
      for (index, event) in events.enumerated() {
        #expect(messages[index].header("event_id") == Array(event.id.description.utf8))
        #expect(messages[index].header("event_type") == Array(event.type.utf8))
        #expect(messages[index].header("stream_version") == Array("\(index + 1)".utf8))
        #expect(messages[index].header("traceparent") == metadata.traceparent.map { Array($0.utf8) })
      }
      running.cancel()
      await running.value
    }
  }

  @Test("goes on where it was after it was stopped at any moment, and loses nothing (G3, G4)")
  func restarts() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      let options = try outboxOptions(database, topic: topic)
      let ids = (0..<5).map { _ in UUID.version7().description }
      let writer = Task(executorPreference: database.reactor) {
        for number in 1...60 {
          for id in ids {
            try await database.append(id, number...number)
          }
        }
      }
      for _ in 0..<6 {
        let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
        let running = Task(executorPreference: database.reactor) { await relay.run() }
        try await eventually("the relay streams", on: database.reactor) { await relay.state == .streaming }
        try await database.reactor.sleep(for: .milliseconds(Int.random(in: 1...80)))
        running.cancel()
        await running.value
      }
      try await writer.value
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      let session = try await database.session()
      let end = try await session.execute("select pg_current_wal_lsn()")[0][0] ?? ""
      try await eventually("everything is confirmed", on: database.reactor) {
        try await session.execute(
          "select confirmed_flush_lsn >= '\(end)' from pg_replication_slots where slot_name = '\(options.slot)'") == [
            ["t"]
          ]
      }
      func versions(_ id: String, in messages: [KafkaMessage]) -> [Int] {
        messages.filter { $0.key == Array(#"{"id":"\#(id)"}"#.utf8) }
          .compactMap(\.version)
      }
      let messages = try await Self.read(from: topic, on: database.reactor) { messages in
        messages.count >= 300 && ids.allSatisfy { Set(versions($0, in: messages)).count == 60 }
      }
      for id in ids {
        let versions = versions(id, in: messages)
        #expect(Set(versions) == Set(1...60))
        // Duplicates repeat a stretch from its beginning: a version is never followed by one that skips another.
        var last = 0
        for version in versions {
          #expect(version <= last + 1)
          last = version
        }
      }
      session.close()
      running.cancel()
      await running.value
    }
  }

  @Test("lets a second relay wait, and take over")
  func takeOver() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      let options = try outboxOptions(database, topic: topic)
      let first = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await first.run() }
      try await eventually("the first streams", on: database.reactor) { await first.state == .streaming }
      let second = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let waiting = Task(executorPreference: database.reactor) { await second.run() }
      try await eventually("the second waits", on: database.reactor) {
        if case .standby(let holder) = await second.state { holder.hasPrefix("pid ") } else { false }
      }
      running.cancel()
      await running.value
      try await eventually("the second streams", on: database.reactor) { await second.state == .streaming }
      waiting.cancel()
      await waiting.value
    }
  }

  @Test("confirms an idle database's WAL, so that none is kept")
  func idle() async throws {
    try await withDatabase { database in
      let options = try outboxOptions(database, topic: Stack.uniqueName("cdc"))
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      try await eventually("the relay streams", on: database.reactor) { await relay.state == .streaming }
      let session = try await database.session()
      try await session.execute("create table noise as select generate_series(1, 20000)")
      let end = try await session.execute("select pg_current_wal_lsn()")[0][0] ?? ""
      try await eventually("the noise is confirmed", on: database.reactor) {
        try await session.execute(
          "select confirmed_flush_lsn >= '\(end)' from pg_replication_slots where slot_name = '\(options.slot)'") == [
            ["t"]
          ]
      }
      session.close()
      running.cancel()
      await running.value
    }
  }
}

@Suite("Topics' names", .workLimit(minutes: 5)) struct TopicTemplateTests {
  @Test("need the aggregate and Kafka's characters")
  func names() {
    #expect(TopicTemplate("cdc.{aggregate}s")?.topic(for: "document") == "cdc.documents")
    #expect(TopicTemplate("cdc") == nil)
    #expect(TopicTemplate("c d.{aggregate}") == nil)
  }
}
