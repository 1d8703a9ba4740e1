import EventStore
import Events
import Identifiers
import Kafka
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("Messages that cannot be delivered (G7)", .serialized, .workLimit(minutes: 5)) struct ParkingTests {
  /// A relay whose topic takes 2,000 bytes at most. It does not compress.
  private func withRelay(
    _ body: @Sendable (TestDatabase, _ topic: String, RelayOptions) async throws -> Void
  ) async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      let kafka = KafkaOptions(brokers: try Stack.kafka)
      try await KafkaAdmin(kafka).createTopic("\(topic).things", partitions: 3, settings: ["max.message.bytes": "2000"])
      var options = try outboxOptions(database, topic: topic)
      options.compression = "none"
      try await body(database, topic, options)
    }
  }

  private func append(_ database: TestDatabase, _ id: String, _ version: Int, bytes: Int = 10) async throws {
    let image = Array(#"{"id":"\#(id)","n":\#(version),"text":"\#(String(repeating: "x", count: bytes))"}"#.utf8)
    _ = try await EventStore(database.pool).append(
      [NewEvent(type: "Counted", data: Array("{}".utf8), change: RowChange(before: nil, after: image))],
      to: StreamID(category: "thing", id: id), expecting: .any, metadata: EventMetadata(actor: "a"))
  }

  /// Versions that arrived, by key.
  private func received(_ topic: String, _ count: Int, on reactor: Reactor) async throws -> [String: [String]] {
    let messages = try await RelayTests.read(from: topic, on: reactor) { $0.count >= count }
    var versions: [String: [String]] = [:]
    for message in messages {
      versions[String(decoding: message.key ?? [], as: UTF8.self), default: []].append(
        String(decoding: message.header("stream_version") ?? [], as: UTF8.self))
    }
    return versions
  }

  private func key(_ id: String) -> String { #"{"id":"\#(id)"}"# }

  private func parked(_ database: TestDatabase) async throws -> [ParkedMessages.ParkedKey] {
    try await PostgresSession.with(database.options, on: database.reactor, logger: quietLogger()) {
      try await ParkedMessages($0).list()
    }
  }

  private func request(_ database: TestDatabase, _ request: ParkedMessages.Request, _ id: Int64) async throws -> Int {
    try await PostgresSession.with(database.options, on: database.reactor, logger: quietLogger()) {
      try await ParkedMessages($0).request(request, id)
    }
  }

  @Test("park their key alone: others flow, its later messages wait, and a retry sends all in order before newer ones")
  func retry() async throws {
    try await withRelay { database, topic, options in
      try await whileRelaying(options, on: database.reactor) { _ in
        try await append(database, "a", 1)
        try await append(database, "a", 2, bytes: 4_000)
        try await append(database, "b", 1)
        try await append(database, "a", 3)
        let first = try await received(topic, 2, on: database.reactor)
        #expect(first == [key("a"): ["1"], key("b"): ["1"]])
        try await eventually("both wait", on: database.reactor) { try await parked(database).first?.count == 2 }
        let entry = try await parked(database)[0]
        #expect(entry.key == key("a"))
        #expect(entry.reason.contains("topic \(topic).things accepts 2000 (max.message.bytes)"))
        #expect(entry.reason.contains("MSG_SIZE_TOO_LARGE"))
        // Nothing holds the WAL back: what is parked is safe.
        let session = try await database.session()
        let end = try await session.execute("select pg_current_wal_lsn()")[0][0] ?? ""
        try await eventually("the slot moves on", on: database.reactor) {
          try await session.execute(
            "select confirmed_flush_lsn >= '\(end)' from pg_replication_slots where slot_name = '\(options.slot)'")
            == [["t"]]
        }
        session.close()
      }
      // A relay that begins anew knows what is parked.
      try await whileRelaying(options, on: database.reactor) { _ in
        try await append(database, "a", 4)
        try await eventually("three wait", on: database.reactor) { try await parked(database).first?.count == 3 }
        // Asked for too early it is refused again.
        let id = try await parked(database)[0].id
        #expect(try await request(database, .retry, id) == 3)
        try await eventually("it is refused again", on: database.reactor) {
          try await parked(database).first?.isRequested == false
        }
        try await KafkaAdmin(options.kafka).alter("\(topic).things", ["max.message.bytes": "1000000"])
        // The broker learns of the change in its own time: until then it may refuse again.
        try await eventually("nothing is parked", on: database.reactor) {
          guard let parked = try await parked(database).first else { return true }
          if !parked.isRequested { _ = try await request(database, .retry, id) }
          return false
        }
        let all = try await received(topic, 5, on: database.reactor)
        #expect(all == [key("a"): ["1", "2", "3", "4"], key("b"): ["1"]])
        try await append(database, "a", 5)
        #expect(try await received(topic, 6, on: database.reactor)[key("a")] == ["1", "2", "3", "4", "5"])
      }
    }
  }

  @Test(
    "go out in the order of their source, whichever was parked first: v2 was, when the relay died before v1 was confirmed"
  )
  func orderOfSource() async throws {
    try await withRelay { database, topic, options in
      try await append(database, "a", 1)
      try await append(database, "a", 2, bytes: 1_000)
      let session = try await database.session()
      try await session.execute(
        """
        insert into annals.parked_messages (relay, topic, key, value, headers, place, source, ordinal, reason)
        select '\(options.slot)', '\(topic).things', '{"id":"a"}', '2', '[["stream_version", "2"]]', sequence, 'event ' || sequence, 0, 'planted'
        from annals.outbox where version = 2
        """)
      session.close()
      for source in [RelayOptions.Source.wal, .table(shard: 0, of: 1)] {
        var options = options
        options.source = source
        try await whileRelaying(options, on: database.reactor) { _ in
          try await eventually("both wait, each once", on: database.reactor) {
            try await parked(database).first?.count == 2
          }
        }
      }
      try await whileRelaying(options, on: database.reactor) { _ in
        let id = try await parked(database)[0].id
        #expect(try await request(database, .retry, id) == 2)
        #expect(try await received(topic, 2, on: database.reactor) == [key("a"): ["1", "2"]])
      }
    }
  }

  @Test("that were skipped are not sent when they come again, and set nothing free that waits behind others")
  func skippedComesAgain() async throws {
    try await withRelay { database, topic, options in
      try await append(database, "a", 1)
      try await append(database, "a", 2, bytes: 4_000)
      try await append(database, "a", 3)
      let session = try await database.session()
      // As a relay left it that died before it confirmed: the first was skipped, the second waits.
      try await session.execute(
        """
        insert into annals.parked_messages (relay, topic, key, value, headers, place, source, ordinal, reason, state)
        select '\(options.slot)', '\(topic).things', '{"id":"a"}', 'x', '[]', sequence, 'event ' || sequence, 0, 'planted',
               case version when 1 then 'skipped' else 'parked' end
        from annals.outbox where version < 3
        """)
      session.close()
      try await whileRelaying(options, on: database.reactor) { _ in
        try await append(database, "b", 1)
        #expect(try await received(topic, 1, on: database.reactor) == [key("b"): ["1"]])
        try await eventually("the third waits too", on: database.reactor) {
          try await parked(database).first?.count == 2
        }
      }
    }
  }

  @Test("stay dropped while their key is busy: the next message flows at once")
  func dropOfBusyKey() async throws {
    try await withRelay { database, topic, options in
      try await whileRelaying(options, on: database.reactor) { _ in
        for version in 1...5 {
          try await append(database, "a", version, bytes: 4_000)
          try await eventually("it waits", on: database.reactor) { try await parked(database).count == 1 }
          let id = try await parked(database)[0].id
          #expect(try await request(database, .drop, id) == 1)
          try await append(database, "a", 100 + version)
          #expect(
            try await received(topic, version, on: database.reactor)[key("a")] == (1...version).map { "\(2 * $0)" })
          #expect(try await parked(database).isEmpty)
        }
      }
    }
  }

  @Test(
    "are none where the broker accepts them: its limit is of compressed batches, and no batch is larger than the topic's limit"
  )
  func falseAlarm() async throws {
    try await withRelay { database, topic, options in
      // Many small ones that lie ready would fill a batch of more than 2,000 bytes.
      for number in 0..<60 { try await append(database, "\(number % 10)", number / 10 + 1, bytes: 200) }
      try await whileRelaying(options, on: database.reactor) { _ in
        let small = try await received(topic, 60, on: database.reactor)
        #expect(small.count == 10 && small.values.allSatisfy { $0 == ["1", "2", "3", "4", "5", "6"] })
        #expect(try await parked(database).isEmpty)
      }
      var options = options
      options.compression = "lz4"
      try await append(database, "a", 1, bytes: 4_000)
      try await whileRelaying(options, on: database.reactor) { _ in
        let all = try await received(topic, 61, on: database.reactor)
        #expect(all[key("a")] == ["1"])
        #expect(try await parked(database).isEmpty)
      }
    }
  }

  @Test(
    "hold nothing else up that was with them in a batch, and nothing of their key overtakes them",
    arguments: RelayOptions.DeliveryGuarantee.allCases)
  func batches(_ delivery: RelayOptions.DeliveryGuarantee) async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      var options = try outboxOptions(database, topic: topic)
      (options.compression, options.delivery, options.partitions) = ("none", delivery, 1)
      try await whileRelaying(options, on: database.reactor) { _ in
        try await append(database, "first", 1)
        _ = try await received(topic, 1, on: database.reactor)
        // The relay has asked for the limit already, and does not know the new one.
        try await KafkaAdmin(options.kafka).alter("\(topic).things", ["max.message.bytes": "2000"])
        try await refuses("\(topic).things", 3_000, on: database.reactor)
        // One key's in one transaction: each attempt begins at its first message again.
        func image(_ version: Int, _ bytes: Int) -> NewEvent {
          NewEvent(
            type: "Counted", data: Array("{}".utf8),
            change: RowChange(
              before: nil, after: Array(#"{"n":\#(version),"text":"\#(String(repeating: "x", count: bytes))"}"#.utf8)))
        }
        _ = try await EventStore(database.pool).append(
          [image(1, 10), image(2, 10), image(3, 10), image(4, 4_000), image(5, 10)],
          to: StreamID(category: "thing", id: "d"), expecting: .any, metadata: EventMetadata(actor: "a"))
        for id in ["a", "b", "c"] {
          try await append(database, id, 1)
          try await append(database, id, 2, bytes: id == "b" ? 4_000 : 10)
          try await append(database, id, 3)
        }
        try await eventually("two keys are parked", on: database.reactor) {
          try await parked(database).map(\.count) == [2, 2]
        }
        var all: [String: [String]] = [:]
        try await eventually("all others are there", on: database.reactor) {
          let found = try await readMessages(of: "\(topic).things", on: database.reactor) { $0.count >= 8 }
          all = Dictionary(grouping: found.filter { $0.key != nil && $0.version != nil }) {
            String(decoding: $0.key ?? [], as: UTF8.self)
          }.mapValues { $0.compactMap(\.version).map { "\($0)" } }
          return all[key("c")]?.last == "3"
        }
        #expect(Set(all[key("b")] ?? []) == ["1"] && Set(all[key("d")] ?? []) == ["1", "2", "3"])
        // A repetition goes back to any version, and leaves none out from there.
        for id in ["a", "c"] {
          let versions = (all[key(id)] ?? []).compactMap { Int($0) }
          #expect(versions.last == 3 && zip([0] + versions, versions).allSatisfy { $1 <= $0 + 1 }, "\(versions)")
        }
        #expect(try await parked(database).map(\.key).sorted() == [key("b"), key("d")])
      }
    }
  }

  /// Returns once the broker refuses messages of that size: it takes a topic's new setting in its own time.
  private func refuses(_ topic: String, _ bytes: Int, on reactor: Reactor) async throws {
    var reports = DeliveryReports()
    let producer = try KafkaProducer(KafkaOptions(brokers: try Stack.kafka), on: reactor, logger: quietLogger()) {
      reports = $0
    }
    let text = [UInt8](repeating: 120, count: bytes)
    try await eventually("it is refused", on: reactor) {
      reports = DeliveryReports()
      try text.withUnsafeBytes { try producer.send(topic: topic, key: nil, value: $0, token: 1) }
      while reports.delivered.isEmpty && reports.failed.isEmpty { try await reactor.sleep(for: .milliseconds(2)) }
      return !reports.failed.isEmpty
    }
    await producer.close()
  }

  @Test("that no buffer takes are parked too")
  func tooLargeForMemory() async throws {
    try await withDatabase { database in
      let topic = Stack.uniqueName("cdc")
      var options = try outboxOptions(database, topic: topic)
      options.maximumInFlight = 64 << 10
      try await whileRelaying(options, on: database.reactor) { _ in
        try await append(database, "a", 1, bytes: 200_000)
        try await append(database, "b", 1)
        #expect(try await received(topic, 1, on: database.reactor) == [key("b"): ["1"]])
        try await eventually("it is parked", on: database.reactor) {
          try await parked(database).first?.reason.contains("raise relay.max-in-flight") == true
        }
      }
    }
  }

  @Test("can be skipped, and their key dropped")
  func skipAndDrop() async throws {
    try await withRelay { database, topic, options in
      try await whileRelaying(options, on: database.reactor) { _ in
        for id in ["a", "b"] {
          try await append(database, id, 1, bytes: 4_000)
          try await append(database, id, 2)
        }
        try await eventually("both wait", on: database.reactor) { try await parked(database).map(\.count) == [2, 2] }
        let entries = try await parked(database)
        #expect(try await request(database, .skip, entries[0].id) == 2)
        #expect(try await request(database, .drop, entries[1].id) == 2)
        #expect(try await received(topic, 1, on: database.reactor) == [key("a"): ["2"]])
        try await eventually("nothing is parked", on: database.reactor) { try await parked(database).isEmpty }
        #expect(try await request(database, .retry, entries[1].id) == 0)
        try await eventually("both keys flow", on: database.reactor) {
          try await append(database, "b", 3)
          return try await received(topic, 2, on: database.reactor)[key("b")] != nil
        }
      }
    }
  }

  @Test("are parked whether they come from the table or lay in the outbox before the slot", arguments: [true, false])
  func fromTheTable(isTable: Bool) async throws {
    try await withRelay { database, topic, options in
      try await append(database, "a", 1, bytes: 4_000)
      try await append(database, "b", 1)
      var options = options
      if isTable { options.source = .table(shard: 0, of: 1) }
      try await whileRelaying(options, on: database.reactor) { _ in
        try await append(database, "a", 2)
        #expect(try await received(topic, 1, on: database.reactor) == [key("b"): ["1"]])
        try await eventually("both wait", on: database.reactor) { try await parked(database).map(\.count) == [2] }
      }
    }
  }
}
