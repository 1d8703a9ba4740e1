import Elasticsearch
import Events
import HTTPClient
import Identifiers
import JSON
import Metrics
import Projections
import Reactor
import Redis
import S3
import Support
import Testing

/// Lends each view in a state of its own: the same rules hold for all of them.
enum ViewUnderTest: String, CaseIterable, CustomTestStringConvertible {
  case documentCache, documentSearch
  var testDescription: String { rawValue }

  func withView(_ body: @Sendable (any View) async throws -> Void) async throws {
    try await withReactor { reactor in
      let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
      let redis = RedisClient(
        try RedisOptions(url: try Stack.redis), on: reactor, logger: quietLogger(), metrics: MetricsRegistry())
      try await redis.start()
      let s3 = S3Client(
        S3Options(endpoint: try Stack.s3, bucket: "annals-none", accessKey: "annals", secretKey: "annals-secret"),
        over: client)
      let view: any View =
        switch self {
        case .documentCache: DocumentCache(redis)
        case .documentSearch:
          DocumentSearch(
            ElasticsearchClient(url: try Stack.elasticsearch, over: client), content: s3,
            alias: Stack.uniqueName("documents"))
        }
      let result: Result<Void, any Error>
      do {
        try await view.prepare()
        try await view.prepare()
        result = .success(try await body(view))
      } catch { result = .failure(error) }
      await redis.close()
      await client.close()
      try result.get()
    }
  }
}

private func row(_ id: String, _ version: Int64, title: String = "Lease") -> JSONValue {
  [
    "id": .string(id), "title": .string(title), "content_type": nil, "content_size": nil, "s3_key": nil,
    "content_sha256": nil,
    "status": "created", "created_by": "alice", "created_at": "2026-11-21T13:20:38.123456Z",
    "updated_at": "2026-11-21T13:20:38.123456Z", "version": .integer(version),
  ]
}

private func change(_ id: String, _ version: Int64, title: String = "Lease") -> ViewChange {
  ViewChange(id: id, version: StreamVersion(version), after: row(id, version, title: title))
}

@Suite("A view", .timeLimit(.minutes(5))) struct ViewTests {
  @Test("has what was applied", arguments: ViewUnderTest.allCases)
  func applies(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let ids = (0..<250).map { _ in UUID.version7().description }
      try await view.apply(ids.map { change($0, 1) })
      let rows = try await view.read(ids)
      #expect(rows.count == 250)
      for id in ids { #expect(rows[id] == ViewRow(version: 1, image: row(id, 1).description)) }
      #expect(try await view.read([UUID.version7().description]).isEmpty)
    }
  }

  @Test("is not changed by a change that comes again, or by an older one (G8)", arguments: ViewUnderTest.allCases)
  func fence(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let id = UUID.version7().description
      try await view.apply([change(id, 1), change(id, 2, title: "two"), change(id, 3, title: "three")])
      try await view.apply([change(id, 2, title: "late")])
      try await view.apply([change(id, 3, title: "again")])
      #expect(try await view.read([id])[id] == ViewRow(version: 3, image: row(id, 3, title: "three").description))
    }
  }

  @Test("does not bring a deleted document back", arguments: ViewUnderTest.allCases)
  func deletion(_ kind: ViewUnderTest) async throws {
    try await kind.withView { view in
      let id = UUID.version7().description
      try await view.apply([change(id, 1), ViewChange(id: id, version: 2, after: nil)])
      #expect(try await view.read([id])[id] == ViewRow(version: 2, image: nil))
      try await view.apply([change(id, 1)])
      #expect(try await view.read([id])[id] == ViewRow(version: 2, image: nil))
    }
  }
}
