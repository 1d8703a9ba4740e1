import JSON
import HTTPClient
import Reactor
import Support
import Testing

@testable import Services

@Suite("Limits", .workLimit(minutes: 5)) struct LimitTests {
  @Test("slide: what came in the window before counts by the part of it that is left")
  func sliding() {
    var counts = LocalCounts()
    func ask(_ time: Double) -> RateLimiter.Verdict { counts.count("a", at: time, limit: 10, window: 60) }
    for left in (0..<10).reversed() { #expect(ask(600) == .init(isAllowed: true, remaining: left, reset: 60)) }
    let burst = ask(601)
    #expect(!burst.isAllowed && burst.reset == 65, "\(burst)")
    // Whoever waits for as long as was said gets in.
    var another = counts
    #expect(another.count("a", at: 601 + Double(burst.reset), limit: 10, window: 60).isAllowed)
    // A new window: nine tenths of the ten still count.
    #expect(ask(666).isAllowed)
    let full = ask(666)
    #expect(!full.isAllowed && full.reset >= 1 && full.reset <= 12, "\(full)")
    // After the time that was named there is room.
    #expect(ask(666 + Double(full.reset)).isAllowed)
    #expect(ask(2_000).remaining == 9)
    for number in 0..<30_000 { _ = counts.count("\(number)", at: 2_000, limit: 10, window: 60) }
  }

  @Test("of concurrency fall while requests take too long, and grow again")
  func adaptive() {
    var limit = AdaptiveLimit(most: 400, latency: .milliseconds(100))
    let first = Int(AdaptiveLimit.first)
    let begun = (0...first).map { _ in limit.begin() }
    #expect(begun == Array(repeating: true, count: first) + [false])
    var now = ContinuousClock.now
    for _ in 0..<60 {
      limit.end(after: .seconds(1), at: now)
      now += .milliseconds(250)
      _ = limit.begin()
    }
    #expect(limit.limit == Int(AdaptiveLimit.least))
    while limit.begin() {}
    for _ in 0..<20_000 {
      limit.end(after: .milliseconds(1), at: now)
      while limit.begin() {}
    }
    #expect(limit.limit == 400)
  }

  @Test("of a client are one for all routes' reactors, told in each answer, and kept without Redis")
  func rates() async throws {
    try await withAnnals(["ANNALS_LIMITS_REQUESTS": "20", "ANNALS_LIMITS_WINDOW": "1h"]) { annals in
      func ask(_ path: String = "/document-types", _ headers: [(name: String, value: String)] = []) async throws
        -> HTTPResponse
      { try await annals.send(.get, path, headers: headers).response }
      let first = try await ask()
      #expect(first.status == 200 && first.header("ratelimit-policy") == #""default";q=20;w=3600"#)
      #expect(first.header("ratelimit")?.hasPrefix(#""default";r=19;t="#) == true, "\(first.header("ratelimit") ?? "")")
      // In parallel, over several connections and so over all reactors.
      let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<40 { group.addTask { try await ask().status } }
        return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
      }
      // On a machine so busy that Redis does not answer in time, reactors allow their parts.
      let metrics = try await annals.client.send(HTTPRequest(.get, annals.operationsURL + "/metrics")).body
      let isExact = String(decoding: metrics, as: UTF8.self).contains("annals_rate_limit_fallbacks_total 0\n")
      #expect(isExact ? statuses == [200: 19, 429: 21] : (19...39).contains(statuses[200] ?? 0), "\(statuses)")
      let refused = try await ask()
      #expect(refused.status == 429 && Int(refused.header("retry-after") ?? "").map { $0 > 0 } == true)
      #expect(String(decoding: refused.body, as: UTF8.self).contains("quota-exceeded"))
      // Another route, another client, probes.
      #expect(try await ask("/saved-searches").status == 200)
      let token = try await annals.send(.get, "/auth/token?user_id=jane&email=jane@x.org").json["access_token"]?.string
      #expect(try await ask("/document-types", [("Authorization", "Bearer \(token ?? "")")]).status == 200)
      for _ in 0..<30 { #expect(try await ask("/healthz").status == 200) }
      // Tokens that are refused.
      var last = 0
      for _ in 0..<25 { last = try await ask("/saved-searches", [("Authorization", "Bearer nonsense")]).status }
      #expect(last == 429)
    }
    try await withAnnals([
      "ANNALS_LIMITS_REQUESTS": "8", "ANNALS_LIMITS_WINDOW": "1h", "ANNALS_REDIS_URL": "redis://127.0.0.1:1",
      "ANNALS_HTTP_REACTORS": "2",
    ]) { annals in
      var statuses: [Int: Int] = [:]
      for _ in 0..<20 { statuses[try await annals.send(.get, "/document-types").status, default: 0] += 1 }
      // Each of two reactors allows its half; which one answers is the kernel's to say.
      #expect((4...8).contains(statuses[200] ?? 0) && statuses[429] == 20 - (statuses[200] ?? 0), "\(statuses)")
    }
  }
}
