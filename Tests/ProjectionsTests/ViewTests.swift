import Elasticsearch
import Events
import HTTPClient
import Identifiers
import JSON
import Kafka
import Metrics
import Reactor
import Redis
import S3
import Support
import Testing
import Time

@testable import Projections

/// What a view under test needs beside itself.
struct ViewTools: Sendable {
  let elasticsearch: ElasticsearchClient
  let redis: RedisClient
  let s3: S3Client
  let metrics: MetricsRegistry
  let reactor: Reactor
  /// A name that no other test has.
  let name: String
}

func withViewTools(bucket: String = "annals-none", _ body: @Sendable (ViewTools) async throws -> Void) async throws {
  try await withReactor { reactor in
    let metrics = MetricsRegistry()
    let client = HTTPClient(on: reactor, metrics: metrics)
    // A busy machine may take long.
    var address = try RedisOptions(url: try Stack.redis)
    address.timeout = .seconds(30)
    let redis = RedisClient(
      address, on: reactor, logger: quietLogger(), metrics: metrics)
    try await redis.start()
    let s3 = S3Client(
      S3Options(endpoint: try Stack.s3, bucket: bucket, accessKey: "annals", secretKey: "annals-secret"), over: client,
      watched: .ofStack("S3", on: reactor))
    let tools = ViewTools(
      elasticsearch: ElasticsearchClient(
        url: { [address = try Stack.elasticsearch] in address }, over: client,
        watched: .ofStack("Elasticsearch", on: reactor)), redis: redis,
      s3: s3,
      metrics: metrics, reactor: reactor, name: Stack.uniqueName("view"))
    let result: Result<Void, any Error>
    do { result = .success(try await body(tools)) } catch { result = .failure(error) }
    await redis.close()
    await client.close()
    try result.get()
  }
}

/// Lends each view in a state of its own: the same rules hold for all of them.
enum ViewUnderTest: String, CaseIterable, CustomTestStringConvertible {
  case documentCache, documentLists, documentSearch, signatureSearch, activity
  var testDescription: String { rawValue }

  func make(_ tools: ViewTools) -> any ComparableView {
    switch self {
    case .documentCache: DocumentCache(tools.redis, prefix: "\(tools.name):")
    case .documentLists: DocumentLists(tools.redis, prefix: "\(tools.name):")
    case .documentSearch:
      DocumentSearch(
        tools.elasticsearch, content: tools.s3, alias: tools.name, logger: quietLogger(), metrics: tools.metrics)
    case .signatureSearch: SignatureSearch(tools.elasticsearch, alias: tools.name)
    case .activity: Activity(tools.elasticsearch, alias: tools.name)
    }
  }

  /// Lends the view with its first generation live.
  func withView(_ body: @Sendable (any ComparableView) async throws -> Void) async throws {
    try await withViewTools { tools in
      let view = make(tools)
      #expect(try await !view.store.isThere(1, expectsEntries: false))
      #expect(try await view.store.shown() == nil)
      try await view.store.make(1)
      #expect(try await view.store.isThere(1, expectsEntries: false))
      try await view.store.activate(1)
      #expect(try await view.store.shown() == 1)
      let result: Result<Void, any Error>
      do { result = .success(try await body(view)) } catch { result = .failure(error) }
      for generation in 1...3 { try await view.store.drop(generation) }
      try result.get()
    }
  }

  private func row(_ id: String, _ version: Int64, _ title: String) -> JSONValue {
    let time: JSONValue = "2026-11-21T13:20:38.123456Z"
    if self == .signatureSearch {
      return [
        "id": .string(id), "document_id": .string("d-\(id)"), "signer_email": "jane@example.com",
        "signer_name": .string(title), "status": "signed", "document_version": 1, "document_sha256": nil,
        "created_at": time, "version": .integer(version),
      ]
    }
    return [
      "id": .string(id), "title": .string(title), "content_type": nil, "content_size": nil, "s3_key": nil,
      "content_sha256": nil, "status": version > 1 ? "viewed" : "created", "created_by": "alice", "created_at": time,
      "updated_at": time, "version": .integer(version),
    ]
  }

  /// A change of a stream of the view's category, with the event that caused it.
  func change(_ id: String, _ version: Int64, title: String = "Lease", isDeleted: Bool = false) -> ViewChange {
    let stream =
      self == .signatureSearch ? StreamID(category: "signature", id: id) : StreamID(category: "document", id: id)
    // The same event each time, and not in one month alone.
    let event = ViewChange.Cause(
      id: "\(id)-\(version)", type: "DocumentChanged", actor: "alice",
      recordedAt: Timestamp(microseconds: 1_764_000_000_000_000 + version * 2_000_000_000_000))
    return ViewChange(
      stream: stream, version: StreamVersion(version), after: isDeleted ? JSONValue?.none : row(id, version, title),
      event: event)
  }
}

extension ComparableView {
  /// True if the generation has the entries of a change.
  func holds(_ change: ViewChange, in generation: Int = 1) async throws -> Bool {
    let entries = entries(of: change)
    let found = try await read(entries.map(\.id), of: generation)
    return entries.allSatisfy { agrees(found[$0.id], with: $0.row) }
  }

  func allEntries(of generation: Int = 1) async throws -> [(id: String, stream: StreamID)] {
    var entries: [(id: String, stream: StreamID)] = []
    var cursor: String?
    repeat {
      let page = try await list(cursor, of: generation)
      entries += page.entries
      cursor = page.next
    } while cursor != nil
    return entries
  }
}

@Suite("A view", .serialized, .workLimit(minutes: 5)) struct ViewTests {
  @Test("has what was applied, and lists it", arguments: ViewUnderTest.allCases)
  func applies(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let ids = (0..<250).map { _ in UUID.version7().description }
      let changes = ids.map { kind.change($0, 1) }
      #expect(try await view.apply(changes, to: 1) == .init(repeating: .applied, count: 250))
      for change in changes { #expect(try await view.holds(change)) }
      let entries = try await view.allEntries()
      // The cache lists versions and rows, and rows of everybody are there.
      #expect(Set(entries.map(\.stream)).isSuperset(of: changes.map(\.stream)))
      #expect(try await view.store.isThere(1, expectsEntries: true))
    }
  }

  @Test("is not changed by a change that comes again, or by an older one (G8)", arguments: ViewUnderTest.allCases)
  func fence(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let id = UUID.version7().description
      for version in 1...3 as ClosedRange<Int64> {
        _ = try await view.apply([kind.change(id, version, title: "\(version)")], to: 1)
      }
      #expect(try await view.apply([kind.change(id, 3, title: "again")], to: 1) == [.stale])
      #expect(try await view.apply([kind.change(id, 2, title: "late")], to: 1) == [.stale])
      #expect(try await view.holds(kind.change(id, 3, title: "3")))
    }
  }

  @Test(
    "does not bring a deleted document back",
    arguments: [ViewUnderTest.documentCache, .documentLists, .documentSearch])
  func deletion(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let id = UUID.version7().description
      _ = try await view.apply([kind.change(id, 1)], to: 1)
      _ = try await view.apply([kind.change(id, 2, isDeleted: true)], to: 1)
      #expect(try await view.holds(kind.change(id, 2, isDeleted: true)))
      #expect(try await view.apply([kind.change(id, 1)], to: 1) == [.stale])
      #expect(try await view.holds(kind.change(id, 2, isDeleted: true)))
    }
  }

  @Test("keeps generations apart, and drops one without the other", arguments: ViewUnderTest.allCases)
  func generations(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let id = UUID.version7().description
      _ = try await view.apply([kind.change(id, 1, title: "one")], to: 1)
      try await view.store.make(2)
      _ = try await view.apply([kind.change(id, 1, title: "two")], to: 2)
      #expect(try await view.holds(kind.change(id, 1, title: "one"), in: 1))
      try await view.store.activate(2)
      try await view.store.activate(2)
      #expect(try await view.holds(kind.change(id, 1, title: "two"), in: 2))
      try await view.store.drop(1)
      #expect(try await view.holds(kind.change(id, 1, title: "two"), in: 2))
      #expect(try await !view.store.isThere(1, expectsEntries: true))
      #expect(try await view.store.shown() == 2)
    }
  }

  @Test("can be repaired, and loses what it is told to", arguments: ViewUnderTest.allCases)
  func repairs(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let (id, other) = (UUID.version7().description, UUID.version7().description)
      _ = try await view.apply([kind.change(id, 1, title: "planted"), kind.change(other, 1)], to: 1)
      try await view.repair([kind.change(id, 1, title: "right")], of: 1)
      #expect(try await view.holds(kind.change(id, 1, title: "right")))
      try await view.remove(view.entries(of: kind.change(other, 1)).map(\.id), of: 1)
      #expect(try await !view.holds(kind.change(other, 1)))
      let left = try await view.allEntries().map(\.stream)
      #expect(!left.contains(kind.change(other, 1).stream))
    }
  }
}

@Suite("Lists of documents", .workLimit(minutes: 5)) struct DocumentListTests {
  @Test("follow a document from status to status, and count it once")
  func moves() async throws {
    try await withViewTools { tools in
      let (a, b) = (UUID.version7().description, UUID.version7().description)
      let (lists, kind) = (DocumentLists(tools.redis, prefix: "\(tools.name):"), ViewUnderTest.documentLists)
      try await lists.store.make(1)
      try await lists.store.activate(1)
      _ = try await lists.apply([kind.change(a, 1), kind.change(b, 1), kind.change(b, 2)], to: 1)
      #expect(try await lists.documents(in: .status("created"), from: 0, limit: 10).ids == [a])
      #expect(try await lists.documents(in: .status("viewed"), from: 0, limit: 10).ids == [b])
      #expect(try await lists.documents(in: .creator("alice"), from: 0, limit: 10).total == 2)
      // Applied again: nothing is counted twice.
      _ = try await lists.apply([kind.change(b, 1), kind.change(b, 2)], to: 1)
      #expect(
        try await lists.counts() == [
          .init(status: "created", day: "2026-11-21", count: 1), .init(status: "viewed", day: "2026-11-21", count: 1),
        ])
      _ = try await lists.apply([kind.change(a, 2, isDeleted: true)], to: 1)
      #expect(try await lists.counts().map(\.status) == ["viewed"])
      #expect(try await lists.documents(in: .creator("alice"), from: 0, limit: 10).ids == [b])
      // A row that its lists do not have is found.
      _ = try await tools.redis.command(RedisCommand("ZREM", "\(tools.name):document-lists:1:status:viewed", b))
      #expect(try await !lists.holds(kind.change(b, 2)))
      try await lists.store.drop(1)
    }
  }
}

@Suite("The search view", .serialized, .workLimit(minutes: 5)) struct DocumentSearchTests {
  private static func id(_ number: Int) -> String {
    "00000000-0000-8000-8000-" + String(repeating: "0", count: 12 - "\(number)".count) + "\(number)"
  }

  private func change(_ number: Int, _ key: String, _ size: Int, _ hash: String, _ version: Int64 = 1) -> ViewChange {
    let id = Self.id(number)
    return ViewChange(
      stream: StreamID(category: "document", id: id), version: StreamVersion(version),
      after: [
        "id": .string(id), "title": "t", "content_type": "text/plain", "content_size": .integer(Int64(size)),
        "s3_key": .string(key), "content_sha256": .string(hash), "status": "created", "created_by": "a",
        "created_at": "2026-11-21T13:20:38.123456Z", "updated_at": "2026-11-21T13:20:38.123456Z",
        "version": .integer(version),
      ])
  }

  private func withSearch(
    _ body: @Sendable (DocumentSearch, ViewTools) async throws -> Void
  ) async throws {
    let bucket = Stack.uniqueName("bucket").replacing("_", with: "-")
    try await withViewTools(bucket: bucket) { tools in
      let view = DocumentSearch(
        tools.elasticsearch, content: tools.s3, alias: tools.name, logger: quietLogger(), metrics: tools.metrics)
      try await view.store.make(1)
      try await view.store.activate(1)
      let result: Result<Void, any Error>
      do { result = .success(try await body(view, tools)) } catch { result = .failure(error) }
      try await view.store.drop(1)
      try result.get()
    }
  }

  @Test("marks hits in a text of more than a million characters")
  func longText() async throws {
    try await withSearch { view, tools in
      let text = "lease " + String(repeating: "word ", count: 300_000)
      try await tools.s3.createBucket()
      try await tools.s3.put("long", Array(text.utf8), contentType: "text/plain")
      #expect(try await view.apply([change(1, "long", text.utf8.count, "h")], to: 1) == [.applied])
      _ = try await tools.elasticsearch.send(.post, "/\(view.alias)/_refresh", operation: "refreshing")
      let (_, answer) = try await tools.elasticsearch.send(
        .post, "/\(view.alias)/_search",
        Array(#"{"query":{"match":{"content":"lease"}},"highlight":{"fields":{"content":{}}},"_source":false}"#.utf8),
        operation: "searching")
      #expect(answer["hits"]?["hits"]?.array?.first?["highlight"]?["content"]?.array?.isEmpty == false)
    }
  }

  @Test("takes a hundred texts of a mebibyte in one batch")
  func manyTexts() async throws {
    try await withSearch { view, tools in
      let text = Array(String(repeating: "all work and no play ", count: 50_000).utf8)
      try await tools.s3.createBucket()
      try await tools.s3.put("big", text, contentType: "text/plain")
      let changes = (0..<100).map { change($0, "big", text.count, "h") }
      #expect(try await view.apply(changes, to: 1) == .init(repeating: .applied, count: 100))
      for part in [changes[0], changes[99]] { #expect(try await view.holds(part)) }
    }
  }

  @Test("waits for a bucket that is missing; an object that is missing is marked, and found by comparison")
  func missingContents() async throws {
    try await withSearch { view, tools in
      let lost = change(1, "nowhere", 5, "h")
      await #expect(throws: DocumentSearch.BucketMissing.self) { _ = try await view.apply([lost], to: 1) }
      try await tools.s3.createBucket()
      #expect(try await view.apply([lost], to: 1) == [.applied])
      #expect(try await !view.holds(lost))
      // A rebuild cannot change it.
      #expect(view.isExcused(try #require(try await view.read([lost.id], of: 1)[lost.id])))
      #expect(
        tools.metrics.counter("annals_projection_missing_contents_total", help: "").value == 1)
      // It is there again: a repair indexes the text.
      try await tools.s3.put("nowhere", Array("there".utf8), contentType: "text/plain")
      try await view.repair([lost], of: 1)
      #expect(try await view.holds(lost))
    }
  }

  @Test("notices an index that was deleted or made by others, and never writes to one that it did not make")
  func lostIndex() async throws {
    try await withSearch { view, tools in
      let first = change(1, "k", 0, "h")
      _ = try await view.apply([first], to: 1)
      _ = try await tools.elasticsearch.send(.delete, "/\(view.alias)-1", operation: "planting")
      await #expect(throws: StoreLost.self) { _ = try await view.apply([first], to: 1) }
      // As an automatic creation or a restore of the data alone would leave it.
      _ = try await tools.elasticsearch.send(
        .put, "/\(view.alias)-1/_doc/x?refresh=true", Array(#"{"id":"x"}"#.utf8), operation: "planting")
      // Asking changes nothing: it is lost until somebody makes it.
      for _ in 0..<2 { #expect(try await !view.store.isThere(1, expectsEntries: true)) }
      try await view.store.make(1)
      #expect(try await !view.store.isThere(1, expectsEntries: true))
      #expect(try await view.store.isThere(1, expectsEntries: false))
    }
  }
}

@Suite("A change event", .workLimit(minutes: 1)) struct ViewChangeTests {
  @Test("without a row where its operation has one is refused")
  func ghost() throws {
    func message(_ value: String) -> KafkaMessage {
      KafkaMessage(
        source: TopicPartition(topic: "t", partition: 0), offset: 7, key: Array(#"{"id":"a"}"#.utf8),
        value: Array(value.utf8), headers: [("stream_version", Array("2".utf8))], timestamp: nil)
    }
    for value in [#"{"op":"u","after":null}"#, #"{"op":"u"}"#, #"{"op":"c","after":1}"#, "{", #"{"after":{}}"#] {
      #expect(throws: ViewChangeError.self) { _ = try ViewChange(message(value), of: "document") }
    }
    #expect(try ViewChange(message(#"{"op":"d","after":null}"#), of: "document")?.after == nil)
    #expect(try ViewChange(message(#"{"op":"u","after":{"id":"a"}}"#), of: "document")?.after != nil)
  }
}
