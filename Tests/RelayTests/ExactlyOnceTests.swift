import Postgres
import Events
import EventStore
import Identifiers
import Kafka
import Metrics
import Reactor
@testable import Relay
import Support
import Testing

@Suite("A relay that delivers exactly once (G4)", .serialized, .workLimit(minutes: 5)) struct ExactlyOnceTests {
  private func options(
    _ database: TestDatabase, _ topic: String, slot: String, _ source: RelayOptions.Source
  ) throws -> RelayOptions {
    var options = try outboxOptions(database, topic: topic)
    options.source = source
    options.delivery = .exactlyOnce
    options.slot = slot
    return options
  }

  @Test("a first reading is sent in parts: what hinders one does not take the others back, and nothing is sent twice")
  func readingInParts() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      var options = try options(database, topic, slot: Stack.uniqueName("relay"), .wal)
      options.createsTopics = false
      let admin = KafkaAdmin(options.kafka)
      try await admin.createTopic("\(topic).things", partitions: 1)
      let session = try await database.session()
      try await database.append("a", 1...3)
      try await session.execute("select setval('annals.event_sequence', 300000)")
      try await database.append("a", 4...6)
      try await session.execute("select setval('annals.event_sequence', 600000)")
      // In the third partition: a topic that is not there yet.
      _ = try await EventStore(database.pool).append(
        thingEvents("x", 1...1), to: StreamID(category: "other", id: "x"), expecting: .any,
        metadata: EventMetadata(actor: "a"))
      try await database.append("a", 7...7)
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      // Only what is committed can be read.
      let first = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 6 }
      #expect(first.compactMap(\.version) == [1, 2, 3, 4, 5, 6])
      try await eventually("it says why", on: database.reactor) {
        await relay.problem?.contains("\(topic).others") == true
      }
      try await admin.createTopic("\(topic).others", partitions: 1)
      try await eventually("it streams", on: database.reactor) { await relay.state == .streaming }
      try await database.append("a", 8...8)
      let all = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 8 }
      running.cancel()
      await running.value
      #expect(all.compactMap(\.version) == [1, 2, 3, 4, 5, 6, 7, 8])
      session.close()
    }
  }

  @Test(
    "sends each event once, from the outbox before its slot, and across restarts at any moment",
    arguments: [RelayOptions.Source.wal, .table(shard: 0, of: 1)])
  func restarts(_ source: RelayOptions.Source) async throws {
    try await withDatabase { database in
      let (topic, slot) = (Stack.uniqueName("cdc"), Stack.uniqueName("relay"))
      let ids = (0..<4).map { _ in UUID.version7().description }
      for id in ids { try await database.append(id, 1...5) }
      let writer = Task(executorPreference: database.reactor) {
        for version in 6...40 { for id in ids { try await database.append(id, version...version) } }
      }
      for _ in 0..<5 {
        let relay = try Relay(
          try options(database, topic, slot: slot, source), on: database.reactor, logger: quietLogger(),
          metrics: .init())
        let running = Task(executorPreference: database.reactor) { await relay.run() }
        try await eventually("it streams", on: database.reactor) { await relay.state == .streaming }
        try await database.reactor.sleep(for: .milliseconds(Int.random(in: 1...60)))
        running.cancel()
        await running.value
      }
      try await writer.value
      let relay = try Relay(
        try options(database, topic, slot: slot, source), on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      var messages: [KafkaMessage] = []
      try await eventually("all is there", on: database.reactor) {
        messages = try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 160 }
        return messages.count >= 160
      }
      running.cancel()
      await running.value
      #expect(messages.count == 160)
      #expect(Set(messages.compactMap { $0.header("event_id") }).count == 160)
      for id in ids {
        let versions = messages.filter { $0.key == Array(#"{"id":"\#(id)"}"#.utf8) }
          .compactMap(\.version)
        #expect(versions == Array(1...40))
      }
    }
  }
}
