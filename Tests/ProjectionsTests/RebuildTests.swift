import S3
import Domain
import Elasticsearch
import EventStore
import Events
import HTTPClient
import Identifiers
import JSON
import Kafka
import Logging
import Metrics
import Postgres
import Reactor
import Redis
import Relay
import Support
import Synchronization
import Testing
import Time

@testable import Projections

private final class Flag: Sendable {
  private let value = Mutex(false)
  var isSet: Bool { value.withLock { $0 } }
  func set() { value.withLock { $0 = true } }
}

private final class Count: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .relaxed) }
  func add(_ number: Int) { count.add(number, ordering: .relaxed) }
}

/// A log with documents, a relay for them, and a world for their views.
struct ViewStage: Sendable {
  let database: TestDatabase
  let tools: ViewTools
  let world: ViewWorld
  let store: AggregateStore<Document>
  let metadata = EventMetadata(actor: "alice")

  func create(_ count: Int = 1) async throws -> [Document] {
    var documents: [Document] = []
    for number in 0..<count {
      let id = UUID.version7()
      documents.append(
        try await store.create(
          id.description, .create(id: id, title: "Lease \(number)", content: nil, by: "alice", at: .now()),
          metadata: metadata))
    }
    return documents
  }

  func rename(_ document: Document, _ title: String) async throws -> Document {
    let command = DocumentCommand.amend(title: title, status: nil, at: .now())
    return try await store.execute(command, on: document.id.description, metadata: metadata)!
  }

  func change(_ document: Document) throws -> ViewChange {
    ViewChange(
      stream: Document.stream(document.id.description), version: document.version,
      after: try JSONValue(parsing: document.rowImage))
  }

  /// Runs the projection while `body` runs.
  func whileProjecting<Value>(
    _ view: any View, _ body: (ProjectionRunner) async throws -> Value
  ) async throws -> Value {
    let runner = ProjectionRunner(view, world)
    let running = Task(executorPreference: database.reactor) { await runner.run() }
    let result: Result<Value, any Error>
    do { result = .success(try await body(runner)) } catch { result = .failure(error) }
    running.cancel()
    await running.value
    return try result.get()
  }

  func untilEqual(_ view: any ComparableView) async throws {
    try await eventually("\(view.name) equals history", on: database.reactor) {
      try await Verifier(world).run([view], .init(patience: .zero)).differences.isEmpty
    }
  }

  func live(_ view: any View) async throws -> Generation? { try await world.registry.live(of: view.name) }
}

/// - Parameter url: A Redis of the test's own; nil: the stack's.
func withViewStage(redis url: String? = nil, _ body: @Sendable (ViewStage) async throws -> Void) async throws {
  try await withDatabase { database in
    let metrics = MetricsRegistry()
    let client = HTTPClient(on: database.reactor, metrics: metrics)
    // A busy machine may take long.
    var address = try RedisOptions(url: try url ?? Stack.redis)
    address.timeout = .seconds(30)
    let redis = RedisClient(
      address, on: database.reactor, logger: quietLogger(), metrics: metrics)
    try await redis.start()
    let name = Stack.uniqueName("view")
    let tools = ViewTools(
      elasticsearch: ElasticsearchClient(
        url: { [address = try Stack.elasticsearch] in address }, over: client,
        watched: .ofStack("Elasticsearch", on: database.reactor)),
      redis: redis,
      s3: .init(
        .init(endpoint: try Stack.s3, bucket: "annals-none", accessKey: "annals", secretKey: "annals-secret"),
        over: client, watched: .ofStack("S3", on: database.reactor)), metrics: metrics, reactor: database.reactor,
      name: name)
    let source = ViewSource(kafka: KafkaOptions(brokers: try Stack.kafka), group: name) { "\(name).\($0)s" }
    let world = ViewWorld(
      store: EventStore(database.pool), pool: database.pool, postgres: database.options, source: source,
      aggregates: [Document.self, Signature.self], on: database.reactor, logger: quietLogger(), metrics: metrics)
    let stage = ViewStage(
      database: database, tools: tools, world: world, store: AggregateStore(EventStore(database.pool)))
    let result: Result<Void, any Error>
    do { result = .success(try await body(stage)) } catch { result = .failure(error) }
    await redis.close()
    await client.close()
    try result.get()
  }
}

@Suite("A rebuild", .serialized, .workLimit(minutes: 5)) struct RebuildTests {
  @Test("makes the first generation from the log, and what comes is followed", arguments: ViewUnderTest.allCases)
  func first(_ kind: ViewUnderTest) async throws {
    guard kind != .signatureSearch else { return }
    try await withViewStage { stage in
      let view = kind.make(stage.tools)
      let before = try await stage.create(3)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: stage.database.reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("it is live", on: stage.database.reactor) { try await stage.live(view) != nil }
          let after = try await stage.create(2)
          let changed = try await stage.rename(before[0], "Another")
          try await eventually("it has all", on: stage.database.reactor) {
            let report = try await Verifier(stage.world).run([view], .init(patience: .zero))
            return report.differences.isEmpty
          }
          guard !view.takesEveryEvent else { return }
          for document in [changed, before[1], before[2]] + after {
            #expect(try await view.holds(try stage.change(document)))
          }
        }
      }
      for generation in 1...2 { try await view.store.drop(generation) }
    }
  }

  @Test("changes places with the live generation while nobody notices, again and again under writes")
  func unnoticed() async throws {
    try await withViewStage { stage in
      let view = ViewUnderTest.documentSearch.make(stage.tools)
      let reactor = stage.database.reactor
      let documents = try await stage.create(40)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("readers see it", on: reactor) {
            try await stage.tools.elasticsearch.send(
              .get, "/\(stage.tools.name)/_count", operation: "counting", accepting: [404]
            ).body["count"] == 40
          }
          let (isOver, reads) = (Flag(), Count())
          // Reads through the alias without pause: no document may be missing, and no version may go back.
          async let reading: Void = {
            var newest: [String: Int64] = [:]
            while !isOver.isSet {
              let (status, answer) = try await stage.tools.elasticsearch.send(
                .post, "/\(stage.tools.name)/_search", Array(#"{"size":100,"_source":["version"]}"#.utf8),
                operation: "reading",
                accepting: Set(400..<600))
              #expect(status == 200, "\(answer)")
              let hits = answer["hits"]?["hits"]?.array ?? []
              #expect(hits.count == 40)
              for hit in hits {
                let (id, version) = (hit["_id"]?.string ?? "", hit["_source"]?["version"]?.integer ?? 0)
                #expect(version >= newest[id] ?? 0)
                newest[id] = version
              }
              reads.add(1)
            }
          }()
          async let writing: Void = {
            var number = 0
            while !isOver.isSet {
              let document = documents[number % documents.count]
              _ = try await stage.store.execute(
                .amend(title: "Title \(number)", status: nil, at: .now()), on: document.id.description,
                metadata: stage.metadata)
              number += 1
            }
          }()
          for expected in 2...4 {
            // The runner's own may not have ended yet.
            try await eventually("generation \(expected) is live", on: reactor) {
              do { return try await Rebuild(view, stage.world).run(reason: "test") == expected } catch is Rebuild.Busy {
                return false
              }
            }
            // Some reads of this generation.
            let before = reads.value
            try await eventually("it is read", on: reactor) { reads.value > before + 3 }
          }
          isOver.set()
          try await writing
          try await reading
          let report = try await Verifier(stage.world).run([view])
          #expect(report.differences.isEmpty, "\(report.differences)")
        }
      }
      let states = try await stage.world.registry.generations(of: view.name).map(\.state)
      #expect(states == [.kept, .live])
      for generation in 1...4 { try await view.store.drop(generation) }
    }
  }

  @Test("goes on where it was interrupted, and a new form begins anew")
  func resumed() async throws {
    try await withViewStage { stage in
      let view = ViewUnderTest.documentLists.make(stage.tools)
      _ = try await stage.create(30)
      let rebuild = Rebuild(view, stage.world, stretch: 10)
      // As a process that dies between two stretches leaves it.
      let task = Task(executorPreference: stage.database.reactor) {
        try await rebuild.run(reason: "test") { progress in
          if progress.streams == 20 { withUnsafeCurrentTask { $0?.cancel() } }
        }
      }
      _ = await task.result
      let left = try #require(try await stage.world.registry.generations(of: view.name).last)
      #expect(left.state == .building)
      #expect(left.streams == 20)
      var first: Rebuild.Progress?
      let generation = try await rebuild.run(reason: "test") { first = first ?? $0 }
      #expect(generation == left.number)
      #expect(first?.streams == 30)
      let report = try await Verifier(stage.world).run([view])
      #expect(report.differences.isEmpty)
      #expect(report.streams == 30)
      await #expect(throws: Rebuild.NothingKept.self) { try await rebuild.rollBack() }
      // There is no topic yet: nothing has to be waited for.
      #expect(try await rebuild.run(reason: "again") == generation + 1)
      for generation in 1...2 { try await view.store.drop(generation) }
    }
  }

  @Test("can be taken back, once the earlier generation has caught up")
  func rollback() async throws {
    try await withViewStage { stage in
      let view = ViewUnderTest.documentCache.make(stage.tools)
      let reactor = stage.database.reactor
      let documents = try await stage.create(5)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await Rebuild(view, stage.world).run(reason: "one")
        try await Rebuild(view, stage.world).run(reason: "two")
        // Generation 1 has not seen this.
        let changed = try await stage.rename(documents[0], "Later")
        try await eventually("it is published", on: reactor) {
          try await stage.database.pool.query(
            Query("", "select 1 from annals.relays where ready")
          ).isEmpty == false
        }
        #expect(try await Rebuild(view, stage.world).rollBack() == 1)
        #expect(try await stage.live(view)?.number == 1)
        try await stage.whileProjecting(view) { _ in
          try await eventually("generation 1 has it", on: reactor) {
            try await view.holds(try stage.change(changed), in: 1)
          }
        }
      }
      for generation in 1...2 { try await view.store.drop(generation) }
    }
  }

  @Test(
    "heals a store that was lost, an adopted log and a lost place in Kafka, and says why",
    arguments: ["store", "adopted", "place", "anew"])
  func healed(_ cause: String) async throws {
    try await withViewStage { stage in
      let view = ViewUnderTest.documentSearch.make(stage.tools)
      let reactor = stage.database.reactor
      _ = try await stage.create(5)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("it is live", on: reactor) { try await stage.live(view) != nil }
          _ = try await stage.create(1)
          try await stage.untilEqual(view)
        }
      }
      let session = try await stage.database.session()
      switch cause {
      case "store": try await view.store.drop(1)
      case "adopted": try await session.execute("select annals.adopt()")
      case "anew":
        // The topic comes back with other messages, and more of them.
        let (admin, topic) = (KafkaAdmin(stage.world.source.kafka), "\(stage.tools.name).documents")
        let count = try await admin.partitions(of: topic) ?? 1
        try await admin.deleteTopic(topic)
        try await eventually("it is gone", on: reactor) { try await admin.partitions(of: topic) == nil }
        _ = try await admin.createTopic(topic, partitions: count)
        _ = try await stage.create(60)
        try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
          try await eventually("the messages are there", on: reactor) {
            try await admin.endOffsets(of: [topic]).values.allSatisfy { $0 > 6 }
          }
        }
      default:
        // As if the topic had been made anew: the group's offset is beyond its end.
        try await KafkaAdmin(stage.world.source.kafka).setOffsets(
          [TopicPartition(topic: "\(stage.tools.name).documents", partition: 0): 1_000_000],
          of: "\(stage.tools.name)-\(view.name)-1")
      }
      session.close()
      try await stage.whileProjecting(view) { _ in
        try await eventually("generation 2 is live", on: reactor) { try await stage.live(view)?.number == 2 }
      }
      let generations = try await stage.world.registry.generations(of: view.name)
      let reason = generations.last?.reason ?? ""
      switch cause {
      case "store": #expect(reason.contains("lost"))
      case "adopted": #expect(reason.contains("adopted"))
      default: #expect(reason.contains("place in"))
      }
      let report = try await Verifier(stage.world).run([view])
      #expect(report.streams == (cause == "anew" ? 66 : 6))
      #expect(report.differences.isEmpty)
      for generation in 1...2 { try await view.store.drop(generation) }
    }
  }
}

@Suite("An index that was emptied", .workLimit(minutes: 2)) struct EmptiedIndexTests {
  @Test("is noticed, although its generation was begun on an empty log") func emptied() async throws {
    try await withViewStage { stage in
      let view = ViewUnderTest.documentSearch.make(stage.tools)
      let reactor = stage.database.reactor
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("it is live", on: reactor) { try await stage.live(view) != nil }
          let documents = try await stage.create(2)
          try await stage.untilEqual(view)
          try await view.remove(documents.map(\.id.description), of: 1)
          try await eventually("it is built again", on: reactor) { try await stage.live(view)?.number == 2 }
        }
      }
      #expect(try await Verifier(stage.world).run([view]).differences.isEmpty)
      for generation in 1...2 { try await view.store.drop(generation) }
    }
  }
}

@Suite("The lag of a view", .workLimit(minutes: 2)) struct LagTests {
  @Test("is told by anybody: messages, age and trend") func told() async throws {
    try await withViewStage { stage in
      let view = ViewUnderTest.documentLists.make(stage.tools)
      let reactor = stage.database.reactor
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("it is live", on: reactor) { try await stage.live(view) != nil }
          _ = try await stage.create(3)
          try await eventually("all is applied", on: reactor) {
            let report = try await Verifier(stage.world).run([view], .init(patience: .zero))
            guard report.differences.isEmpty, let live = try await stage.live(view) else { return false }
            return try await stage.world.lag(of: view, live).messages == 0
          }
        }
        let live = try #require(try await stage.live(view))
        #expect("\(try await stage.world.lag(of: view, live))" == "up to date")
        _ = try await stage.create(4)
        try await eventually("four are behind", on: reactor) { try await stage.world.lag(of: view, live).messages == 4 }
        try await reactor.sleep(for: .milliseconds(1_100))
        let lag = try await stage.world.lag(of: view, live)
        #expect(lag.messages == 4 && lag.trend == 0 && (1...60).contains(lag.seconds), "\(lag)")
        #expect("\(lag)".hasSuffix("s old, steady"))
      }
      try await view.store.drop(1)
    }
  }
}

@Suite("A Redis that comes back older than it was", .serialized, .workLimit(minutes: 3)) struct OlderStoreTests {
  /// Runs on a Redis of its own, with what `kind` makes of it.
  private func withRedis(
    _ kind: ViewUnderTest, _ body: @escaping @Sendable (ViewStage, any ComparableView, RedisServer) async throws -> Void
  ) async throws {
    try await withReactor { reactor in
      let server = try await RedisServer.start(on: reactor)
      let result: Result<Void, any Error>
      do {
        try await withViewStage(redis: server.url) { stage in try await body(stage, kind.make(stage.tools), server) }
        result = .success(())
      } catch { result = .failure(error) }
      await server.stop()
      try result.get()
    }
  }

  private func untilItAnswers(_ stage: ViewStage) async throws {
    try await eventually("Redis is there again", on: stage.database.reactor) {
      do { return try await stage.tools.redis.command(RedisCommand("PING")).text == "PONG" } catch { return false }
    }
  }

  @Test(
    "gets what it has lost from Kafka again, whether somebody follows meanwhile or not",
    arguments: [ViewUnderTest.documentLists, .documentCache], [true, false])
  func follows(_ kind: ViewUnderTest, whileFollowing: Bool) async throws {
    try await withRedis(kind) { stage, view, server in
      let reactor = stage.database.reactor
      var documents = try await stage.create(5)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("it is live", on: reactor) { try await stage.live(view) != nil }
          documents += try await stage.create(2)
          try await stage.untilEqual(view)
          _ = try await stage.tools.redis.command(RedisCommand("SAVE"))
          documents += try await stage.create(3)
          documents[0] = try await stage.rename(documents[0], "Lost at first")
          try await stage.untilEqual(view)
          if whileFollowing {
            try await server.crash()
            try await untilItAnswers(stage)
            try await stage.untilEqual(view)
          }
        }
        if !whileFollowing { try await server.crash() }
        try await untilItAnswers(stage)
        try await stage.whileProjecting(view) { _ in
          try await stage.untilEqual(view)
          documents[0] = try await stage.rename(documents[0], "And on")
          try await stage.untilEqual(view)
        }
      }
      #expect(try await stage.live(view)?.number == 1)
      #expect(try await Verifier(stage.world).run([view]).streams == 10)
    }
  }

  @Test("as it was in the midst of the building is not followed: the view is built anew")
  func halfBuilt() async throws {
    try await withRedis(.documentLists) { stage, view, server in
      let reactor = stage.database.reactor
      _ = try await stage.create(10)
      let saved = Flag()
      try await Rebuild(view, stage.world, stretch: 4).run(reason: "test") { progress in
        guard progress.phase == .reading, progress.streams == 4, !saved.isSet else { return }
        saved.set()
        // Sent before the next stretch, over the same connection.
        Task(executorPreference: reactor) { _ = try await stage.tools.redis.command(RedisCommand("SAVE")) }
      }
      #expect(try await view.store.noted(in: 1).builtTo == nil)
      try await server.crash()
      try await untilItAnswers(stage)
      #expect(try await view.store.noted(in: 1).builtTo != nil)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("generation 2 is live", on: reactor) { try await stage.live(view)?.number == 2 }
        }
      }
      #expect(try await Verifier(stage.world).run([view]).differences.isEmpty)
    }
  }
}

@Suite("The comparison of views", .serialized, .workLimit(minutes: 5)) struct VerifierTests {
  @Test(
    "convicts entries that were edited, are missing, extra, stale or resurrected, and repairs them",
    arguments: [ViewUnderTest.documentSearch, .documentLists, .documentCache])
  func convicts(_ kind: ViewUnderTest) async throws {
    try await withViewStage { stage in
      let view = kind.make(stage.tools)
      var documents = try await stage.create(6)
      documents[3] = try await stage.rename(documents[3], "Second title")
      _ = try await stage.store.execute(
        .delete(at: .now()), on: documents[4].id.description, metadata: stage.metadata)
      try await Rebuild(view, stage.world).run(reason: "test")
      func find() async throws -> [Verifier.Difference.Kind: String] {
        let report = try await Verifier(stage.world).run([view], .init(patience: .milliseconds(300)))
        return Dictionary(
          report.differences.map { ($0.kind, $0.stream.id) }, uniquingKeysWith: { $0 == $1 ? $0 : "\($0) \($1)" })
      }
      #expect(try await find() == [:])
      let (edited, missing, stale, resurrected, extra) = (
        documents[1], documents[2], documents[3], documents[4], UUID.version7().description
      )
      // Edited: another title, status or creator under the same version.
      try await plant(view, stage, kind, edited: edited)
      try await view.remove(view.entries(of: try stage.change(missing)).map(\.id), of: 1)
      try await plantStale(view, stage, kind, stale)
      _ = try await view.apply([ViewUnderTest.documentCache.change(extra, 1)], to: 1)
      var expected: [Verifier.Difference.Kind: String] = [
        .missing: missing.id.description, .edited: edited.id.description, .extra: extra,
        .stale: stale.id.description,
      ]
      if kind == .documentCache {
        // The row of a deleted document is back.
        _ = try await stage.tools.redis.command(
          RedisCommand("SET", DocumentCache.key(resurrected.id.description), "{}"))
        expected[.edited] = [edited, resurrected].map(\.id.description).sorted().joined(separator: " ")
      }
      var found = try await find()
      found[.edited] = found[.edited].map { $0.split(separator: " ").sorted().joined(separator: " ") }
      if kind == .documentCache {
        // Rows of all installations of the tests' Redis are there.
        #expect(found[.extra]?.contains(extra) == true)
        (found[.extra], expected[.extra]) = (nil, nil)
      }
      #expect(found == expected)
      let report = try await Verifier(stage.world).run([view], .init(repairs: true, patience: .milliseconds(300)))
      #expect(report.repaired >= 4)
      found = try await find()
      found[.extra] = nil
      #expect(found == [:])
      try await view.store.drop(1)
    }
  }

  private func plant(
    _ view: any ComparableView, _ stage: ViewStage, _ kind: ViewUnderTest, edited document: Document
  ) async throws {
    let id = document.id.description
    switch kind {
    case .documentCache:
      _ = try await stage.tools.redis.command(RedisCommand("SET", DocumentCache.key(id), "{}"))
    case .documentLists:
      _ = try await stage.tools.redis.command(
        RedisCommand("HSET", "\(stage.tools.name):document-lists:1:row:\(id)", "status", "signed"))
    default:
      let change = ViewChange(
        stream: Document.stream(id), version: document.version,
        after: ViewUnderTest.documentSearch.change(id, 1, title: "Forged").after)
      try await view.repair([change], of: 1)
    }
  }

  /// Takes an entry back to version 1.
  private func plantStale(
    _ view: any ComparableView, _ stage: ViewStage, _ kind: ViewUnderTest, _ document: Document
  ) async throws {
    let id = document.id.description
    switch kind {
    case .documentCache:
      _ = try await stage.tools.redis.command(
        RedisCommand("SET", "\(stage.tools.name):document-cache:1:\(id)", "1"))
    case .documentLists:
      _ = try await stage.tools.redis.command(
        RedisCommand("HSET", "\(stage.tools.name):document-lists:1:row:\(id)", "version", "1"))
    default:
      // Elasticsearch keeps versions of its own: as a restore of an older index would, the entry begins anew.
      _ = try await stage.tools.elasticsearch.send(
        .delete, "/\(stage.tools.name)-1/_doc/\(id)?refresh=true", operation: "planting")
      _ = try await stage.tools.elasticsearch.send(
        .put, "/\(stage.tools.name)-1/_settings", Array(#"{"index":{"gc_deletes":"0s"}}"#.utf8), operation: "planting")
      try await eventually("the deletion is forgotten", on: stage.database.reactor) {
        try await view.apply([ViewUnderTest.documentSearch.change(id, 1)], to: 1) == [.applied]
      }
    }
  }
}
