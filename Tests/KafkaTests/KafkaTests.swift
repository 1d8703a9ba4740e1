import Kafka
import Reactor
import Support
import Testing

/// Members that come and go.
@Suite("Members of a consumer group", .workLimit(minutes: 2)) struct MembershipTests {
  /// A permanent name makes one a member at once; without one the group first gives one a name, by another exchange.
  @Test("may be closed at any moment, before their first partitions too", arguments: [nil, "one"])
  func closing(instance: String?) async throws {
    try await withReactor { reactor in
      let options = KafkaOptions(brokers: try Stack.kafka)
      let topic = Stack.uniqueName("membership")
      _ = try await KafkaAdmin(options).createTopic(topic, partitions: 3)
      for delay in stride(from: 0, through: 120, by: 4) {
        let consumer = try KafkaConsumer(
          options, group: Stack.uniqueName("members"), instance: instance, topics: [topic], on: reactor,
          logger: quietLogger())
        _ = try await consumer.next(maximum: 1, timeout: .milliseconds(delay))
        await consumer.close()
      }
    }
  }

  @Test("lose no message that came right before partitions were taken over")
  func rebalancing() async throws {
    try await withReactor { reactor in
      let options = KafkaOptions(brokers: try Stack.kafka)
      let (topic, group) = (Stack.uniqueName("membership"), Stack.uniqueName("members"))
      _ = try await KafkaAdmin(options).createTopic(topic, partitions: 4)
      let producer = try KafkaProducer(options, on: reactor, logger: quietLogger()) { _ in }
      func produce() throws {
        for number in 0..<40 {
          try Array("\(number)".utf8).withUnsafeBytes {
            try producer.send(topic: topic, key: $0, value: $0, token: number)
          }
        }
      }
      func member() throws -> KafkaConsumer {
        try KafkaConsumer(
          options, group: group, topics: [topic], starts: { _ in [:] }, on: reactor, logger: quietLogger())
      }
      var seen: [TopicPartition: Set<Int64>] = [:]
      /// What was read is committed at once: nobody reads it again.
      func read(_ consumer: KafkaConsumer) async throws -> Int {
        let messages = try await consumer.next(maximum: 10_000, timeout: .milliseconds(20))
        var reached: [TopicPartition: Int64] = [:]
        for message in messages {
          seen[message.source, default: []].insert(message.offset)
          reached[message.source] = message.offset + 1
        }
        try consumer.commit(reached.filter { consumer.assignment.contains($0.key) })
        return messages.count
      }
      let steady = try member()
      while try await read(steady) == 0 { try produce() }
      for _ in 0..<6 {
        let guest = try member()
        // Messages and assignments wait together.
        var rounds = 0
        while guest.assignment.isEmpty || rounds < 8, rounds < 80 {
          rounds += 1
          try produce()
          try await reactor.sleep(for: .milliseconds(120))
          try produce()
          _ = try await read(steady)
          _ = try await read(guest)
        }
        await guest.close()
      }
      let ends = try await KafkaAdmin(options).endOffsets(of: [topic])
      let deadline = ContinuousClock.now + .seconds(20)
      while ends.contains(where: { seen[$0.key]?.max() ?? -1 < $0.value - 1 }), .now < deadline {
        _ = try await read(steady)
      }
      for (partition, end) in ends {
        let missing = Set(0..<end).subtracting(seen[partition] ?? [])
        #expect(missing.isEmpty, "\(partition.partition): \(missing.count) of \(end) are missing")
      }
      await steady.close()
      await producer.close()
    }
  }
}

@Suite("Kafka", .workLimit(minutes: 5)) struct KafkaTests {
  private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test("delivers messages, tombstones and headers in order for each key, and reports each")
  func produceAndConsume() async throws {
    try await withReactor { reactor in
      let options = KafkaOptions(brokers: try Stack.kafka)
      let topic = Stack.uniqueName("topic")
      #expect(try await KafkaAdmin(options).createTopic(topic, partitions: 3))
      #expect(try await !KafkaAdmin(options).createTopic(topic, partitions: 3))
      nonisolated(unsafe) var reported: [Int] = []
      let producer = try KafkaProducer(options, on: reactor, logger: quietLogger()) {
        reported += $0.delivered
      }
      for number in 1...300 {
        let (key, value) = (bytes("key \(number % 7)"), bytes("\(number)"))
        try key.withUnsafeBytes { key in
          try value.withUnsafeBytes {
            let value = $0
            try bytes("n").withUnsafeBytes { name in
              try producer.send(
                to: try producer.topic(topic), key: key, value: number % 100 == 0 ? nil : value,
                headers: [(name, value)], token: number)
            }
          }
        }
      }
      try await eventually("all are acknowledged", on: reactor) { reported.count == 300 }
      #expect(Set(reported) == Set(1...300))
      #expect(producer.waiting == 0)

      let consumer = try KafkaConsumer(
        options, group: Stack.uniqueName("group"), topics: [topic], on: reactor, logger: quietLogger())
      var messages: [KafkaMessage] = []
      while messages.count < 300 { messages += try await consumer.next(maximum: 50, timeout: .seconds(60)) }
      #expect(messages.count == 300)
      #expect(messages.count { $0.value == nil } == 3)
      for key in 0..<7 {
        let numbers = messages.filter { $0.key == bytes("key \(key)") }
          .map { $0.header("n").flatMap { Int(String(decoding: $0, as: UTF8.self)) } }
        #expect(numbers == (1...300).filter { $0 % 7 == key })
      }
      await consumer.close()
      await producer.close()
    }
  }

  @Test("a group goes on behind what it committed")
  func commits() async throws {
    try await withReactor { reactor in
      let options = KafkaOptions(brokers: try Stack.kafka)
      let topic = Stack.uniqueName("topic")
      let group = Stack.uniqueName("group")
      try await KafkaAdmin(options).createTopic(topic, partitions: 1)
      nonisolated(unsafe) var reported = 0
      let producer = try KafkaProducer(options, on: reactor, logger: quietLogger()) { reported += $0.delivered.count }
      for number in 1...10 {
        try bytes("\(number)").withUnsafeBytes { try producer.send(topic: topic, key: nil, value: $0, token: number) }
      }
      try await eventually("all are acknowledged", on: reactor) { reported == 10 }
      await producer.close()

      let first = try KafkaConsumer(options, group: group, topics: [topic], on: reactor, logger: quietLogger())
      var seen = 0
      while seen < 4 { seen += try await first.next(maximum: 4 - seen, timeout: .seconds(60)).count }
      try first.commit([TopicPartition(topic: topic, partition: 0): 4])
      await first.close()

      let second = try KafkaConsumer(options, group: group, topics: [topic], on: reactor, logger: quietLogger())
      var rest: [KafkaMessage] = []
      while rest.count < 6 { rest += try await second.next(maximum: 10, timeout: .seconds(60)) }
      #expect(rest.map(\.offset) == Array(4..<10))
      await second.close()
    }
  }

  @Test("reports what arrived although a server refused while the client was made")
  func refusedAtFirst() async throws {
    try await withReactor { reactor in
      let topic = Stack.uniqueName("topic")
      try await KafkaAdmin(KafkaOptions(brokers: try Stack.kafka)).createTopic(topic, partitions: 1)
      // Ports where nobody listens: each refusal is an event, at once, and may come before anybody looks for events.
      let brokers = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,\(try Stack.kafka)"
      nonisolated(unsafe) var reported = 0
      var producers: [KafkaProducer] = []
      for number in 1...30 {
        let producer = try KafkaProducer(KafkaOptions(brokers: brokers), on: reactor, logger: quietLogger()) {
          reported += $0.delivered.count
        }
        producers.append(producer)
        try bytes("\(number)").withUnsafeBytes {
          try producer.send(topic: topic, key: nil, value: $0, token: number)
        }
      }
      try await eventually("all have heard of it", on: reactor) { reported == 30 }
      for producer in producers { await producer.close() }
    }
  }

  @Test("says full instead of growing without bound")
  func bounded() async throws {
    try await withReactor { reactor in
      let producer = try KafkaProducer(
        KafkaOptions(brokers: "127.0.0.1:1"), maximumBytes: 64 << 10, on: reactor, logger: quietLogger()
      ) { _ in }
      let value = [UInt8](repeating: 1, count: 8 << 10)
      let error = #expect(throws: KafkaError.self) {
        for number in 1...100 {
          try value.withUnsafeBytes { try producer.send(topic: "t", key: nil, value: $0, token: number) }
        }
      }
      #expect(error?.kind == .full)
      #expect(producer.waiting < 100)
      await producer.close()
    }
  }

  @Test("an unreachable broker and a wrong setting are named")
  func errors() async throws {
    let admin = KafkaAdmin(KafkaOptions(brokers: "127.0.0.1:1"), timeout: .seconds(1))
    do {
      _ = try await admin.describe()
      Issue.record("described nothing")
    } catch {
      #expect("\(error)".contains("127.0.0.1:1"))
      #expect("\(error)".contains("ANNALS_KAFKA_BROKERS"))
    }
    try await withReactor { reactor in
      let options = KafkaOptions(brokers: "127.0.0.1:1", settings: ["no.such.setting": "1"])
      let error = #expect(throws: KafkaError.self) {
        try KafkaProducer(options, on: reactor, logger: quietLogger()) { _ in }
      }
      #expect(error?.kind == .configuration)
      #expect("\(error!)".contains("no.such.setting"))
    }
  }
}
