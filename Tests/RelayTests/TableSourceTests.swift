import Identifiers
import Kafka
import Logging
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("A relay that reads the table", .serialized, .workLimit(minutes: 5)) struct TableSourceTests {
  private func options(
    _ database: TestDatabase, _ topic: String, _ source: RelayOptions.Source, slot: String
  ) throws -> RelayOptions {
    var options = try outboxOptions(database, topic: topic)
    options.source = source
    options.slot = slot
    return options
  }

  /// Reads until each of `keys` keys has all its versions up to `count`; doubles may lie in between, as many as there are.
  private func receive(
    _ topic: String, keys: Int, upTo count: Int, on reactor: Reactor
  ) async throws -> [String: [Int]] {
    let messages = try await RelayTests.read(from: topic, on: reactor) {
      $0.count >= keys * count && isWhole(versions($0), keys: keys, upTo: count)
    }
    return versions(messages)
  }

  /// Versions that arrived, by key, in their order.
  private func versions(_ messages: [KafkaMessage]) -> [String: [Int]] {
    var versions: [String: [Int]] = [:]
    for message in messages {
      versions[String(decoding: message.key ?? [], as: UTF8.self), default: []].append(message.version ?? 0)
    }
    return versions
  }

  private func text(_ log: LogRecorder) -> String {
    log.lines.map { line in
      "\(line.message) " + line.metadata.map { "\($0.key.name)=\($0.value)" }.joined(separator: " ")
    }.joined(separator: "\n")
  }

  /// Whether each key's versions are 1 to `count` where doubles are left out.
  private func isWhole(_ versions: [String: [Int]], keys: Int, upTo count: Int) -> Bool {
    versions.count == keys
      && versions.values.allSatisfy { versions in
        var last = 0
        for version in versions where version > last {
          guard version == last + 1 else { return false }
          last = version
        }
        return last == count
      }
  }

  @Test("refuses another number of parts, and leaves nothing of the mistake")
  func mistakenParts() async throws {
    try await withDatabase { database in
      let (topic, slot) = (Stack.uniqueName("cdc"), Stack.uniqueName("relay"))
      try await whileRelaying(try options(database, topic, .table(shard: 0, of: 1), slot: slot), on: database.reactor) {
        _ in
      }
      let mistaken = try options(database, topic, .table(shard: 1, of: 3), slot: slot)
      let reason = try await failure(of: mistaken, on: database.reactor)
      #expect(reason.contains("has 1 shards, not 3"))
      let session = try await database.session()
      #expect(try await session.execute("select shard, shards from annals.relay_checkpoints") == [["0", "1"]])
      session.close()
    }
  }

  @Test("sends all in order while writers' transactions overlap, across restarts (G2, G3)")
  func overlapping() async throws {
    try await withDatabase { database in
      let (topic, slot) = (Stack.uniqueName("cdc"), Stack.uniqueName("relay"))
      let ids = (0..<6).map { _ in UUID.version7().description }
      // A transaction that has drawn its number and stays open holds everything behind it back.
      let holder = try await database.session()
      try await holder.execute("begin; select pg_current_xact_id()")
      let writers = Task(executorPreference: database.reactor) {
        try await withThrowingTaskGroup { group in
          for id in ids { group.addTask { for version in 1...40 { try await database.append(id, version...version) } } }
          try await group.waitForAll()
        }
      }
      for _ in 0..<3 {
        try await whileRelaying(try options(database, topic, .table(shard: 0, of: 1), slot: slot), on: database.reactor)
        {
          _ in
          try await database.reactor.sleep(for: .milliseconds(Int.random(in: 5...60)))
        }
      }
      try await writers.value
      try await holder.execute("commit")
      holder.close()
      try await whileRelaying(try options(database, topic, .table(shard: 0, of: 1), slot: slot), on: database.reactor) {
        _ in
        let all = try await receive(topic, keys: 6, upTo: 40, on: database.reactor)
        #expect(isWhole(all, keys: 6, upTo: 40), "\(all)")
      }
    }
  }

  @Test("divides the keys with another, and gives way to one that has its part")
  func shards() async throws {
    try await withDatabase { database in
      let (topic, slot) = (Stack.uniqueName("cdc"), Stack.uniqueName("relay"))
      let ids = (0..<20).map { _ in UUID.version7().description }
      for id in ids { try await database.append(id, 1...1) }
      let second = try options(database, topic, .table(shard: 1, of: 2), slot: slot)
      try await whileRelaying(try options(database, topic, .table(shard: 0, of: 2), slot: slot), on: database.reactor) {
        _ in
        // Nothing of the second part may be forgotten before it has a relay.
        let parts = try await database.session()
        #expect(
          try await parts.execute("select shard, sequence from annals.relay_checkpoints order by 1").map(\.[0])
            == ["0", "1"])
        parts.close()
        try await whileRelaying(second, on: database.reactor) { _ in
          let rival = try Relay(second, on: database.reactor, logger: quietLogger(), metrics: .init())
          let waiting = Task(executorPreference: database.reactor) { await rival.run() }
          try await eventually("the rival waits", on: database.reactor) {
            if case .standby = await rival.state { true } else { false }
          }
          let all = try await receive(topic, keys: 20, upTo: 1, on: database.reactor)
          #expect(isWhole(all, keys: 20, upTo: 1))
          #expect(all.values.allSatisfy { $0.count == 1 })
          waiting.cancel()
          await waiting.value
        }
      }
    }
  }

  @Test("a stop while the checkpoint is being recorded repeats nothing")
  func stoppedRecording() async throws {
    try await withDatabase { database in
      let (topic, slot, id) = (Stack.uniqueName("cdc"), Stack.uniqueName("relay"), UUID.version7().description)
      let options = try options(database, topic, .table(shard: 0, of: 1), slot: slot)
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      try await database.append(id, 1...3)
      _ = try await receive(topic, keys: 1, upTo: 3, on: database.reactor)
      let locker = try await database.session()
      try await eventually("the checkpoint is recorded", on: database.reactor) {
        try await !locker.execute("select 1 from annals.relay_checkpoints where sequence > 0").isEmpty
      }
      // Not ACCESS EXCLUSIVE, which takes a transaction id: all readers of the whole server would wait behind it.
      try await locker.execute("begin; lock table annals.relay_checkpoints in exclusive mode")
      try await database.append(id, 4...4)
      let watcher = try await database.session()
      try await eventually("the record waits for the lock", on: database.reactor) {
        try await !watcher.execute(
          "select 1 from pg_locks where not granted and relation = 'annals.relay_checkpoints'::regclass"
        ).isEmpty
      }
      running.cancel()
      try await locker.execute("rollback")
      await running.value
      try await whileRelaying(options, on: database.reactor) { _ in
        try await database.append(id, 5...5)
        let all = try await receive(topic, keys: 1, upTo: 5, on: database.reactor)
        #expect(Array(all.values) == [[1, 2, 3, 4, 5]])
      }
      locker.close()
      watcher.close()
    }
  }

  @Test("takes over from a slot and gives back to one, and nothing is lost, repeated or out of order")
  func switches() async throws {
    try await withDatabase { database in
      let (topic, slot) = (Stack.uniqueName("cdc"), Stack.uniqueName("relay"))
      let ids = (0..<4).map { _ in UUID.version7().description }
      let writers = Task(executorPreference: database.reactor) {
        for version in 1...60 { for id in ids { try await database.append(id, version...version) } }
      }
      let log = LogRecorder()
      for round in 0..<6 {
        let source: RelayOptions.Source = round % 2 == 0 ? .wal : .table(shard: 0, of: 1)
        try await whileRelaying(try options(database, topic, source, slot: slot), log: log, on: database.reactor) { _ in
          try await database.reactor.sleep(for: .milliseconds(Int.random(in: 5...80)))
        }
      }
      try await writers.value
      try await whileRelaying(try options(database, topic, .wal, slot: slot), log: log, on: database.reactor) { _ in
        let all = try await receive(topic, keys: 4, upTo: 60, on: database.reactor)
        #expect(isWhole(all, keys: 4, upTo: 60), "\(all)")
        for versions in all.values {
          let repeated = zip(versions, versions.dropFirst()).filter { $1 != $0 + 1 }
          #expect(
            repeated.isEmpty,
            "\(versions.count) messages; back from and to: \(repeated); the relays' log:\n\(text(log))")
        }
      }
      // The table's checkpoints are gone: nothing waits for a relay that is not there.
      #expect(try await database.session().execute("select 1 from annals.relay_checkpoints").isEmpty)
    }
  }
}
