import HTTPClient
import Configuration
import JSON
import Metrics
import Reactor
import Redis
@testable import Services
import Support
import Testing

@testable import annals

@Suite("Counts of views", .workLimit(minutes: 5)) struct AnalyticsTests {
  @Test("are saved once a minute, by day and in all, and raised again in a Redis that has lost them")
  func durable() async throws {
    try await withAnnals { annals in
      let id = try await annals.send(.post, "/documents", #"{"title":"Read"}"#).json["id"]?.string ?? ""
      let other = try await annals.send(.post, "/documents", #"{"title":"Read less"}"#).json["id"]?.string ?? ""
      for _ in 0..<5 { #expect(try await annals.send(.get, "/documents/\(id)").status == 200) }
      #expect(try await annals.send(.get, "/documents/\(other)").status == 200)
      let settings = try Configuration(
        ConnectionSettings.all + Features.all.flatMap(\.settings), environment: annals.environment)
      let context = try Context(
        settings: settings, features: Features.all, version: "1",
        shared: Context.Shared(settings, metrics: MetricsRegistry()), on: annals.reactor,
        logger: quiet, metrics: MetricsRegistry())
      await context.start(poolSize: 1)
      let copying = DurableViews(context)
      // Reading may have gone on over the end of a minute.
      func copy() async throws {
        for minute in ViewCounts.minute() - 2...ViewCounts.minute() { try await copying.copy(minute) }
      }
      func statistics() async throws -> JSONValue { try await annals.send(.get, "/documents/\(id)/stats").json }
      func days() async throws -> Int64 {
        try await statistics()["days"]?.array?.reduce(0) { $0 + ($1["views"]?.integer ?? 0) } ?? -1
      }
      #expect(try await days() == 0)
      try await copy()
      #expect(try await days() == 5)
      // A minute that comes again, as if its copy had not been noted, counts nothing more.
      let minute = ViewCounts.minute()
      func again(_ minute: Int64) async throws {
        let key = ViewCounts(context).minuteKey(minute)
        _ = try await context.redis.command(RedisCommand("ZADD", key, "5", id))
        try await copying.copy(minute)
      }
      try await again(minute + 1)
      #expect(try await days() == 10)
      try await again(minute + 1)
      try await again(minute)
      #expect(try await days() == 10)
      let top = try await annals.send(.get, "/analytics/top").json["documents"]?.array ?? []
      #expect(top.map { $0["id"]?.string } == [id, other] && top.last?["views"] == 1)
      #expect(try await annals.send(.delete, "/documents/\(other)").status == 204)
      let left = try await annals.send(.get, "/analytics/top").json["documents"]?.array ?? []
      #expect(left.map { $0["id"]?.string } == [id])
      _ = try await context.redis.command(RedisCommand("FLUSHALL"))
      #expect(try await statistics()["total_views"] == 0)
      try await copying.restore()
      #expect(try await statistics()["total_views"] == 5)
      #expect(try await statistics()["unique_views"] == 1)
      // Restored again, and behind what was counted since: nothing changes.
      #expect(try await annals.send(.get, "/documents/\(id)").status == 200)
      try await copying.restore()
      #expect(try await statistics()["total_views"] == 6)
      await context.close()
    }
  }
}
