import HTTPClient
import JSON
import Reactor
import Support
import Testing

@Suite("The gateway", .workLimit(minutes: 5)) struct GatewayTests {
  @Test("passes everything on: contents, streams, sockets, who asks; and lets pages of its origins ask")
  func gateway() async throws {
    try await withAnnals(["ANNALS_HTTP_ACCESS_LOG": "true"], .gateway) { annals in
      func send(
        _ method: HTTPRequest.Method, _ path: String, _ headers: [(name: String, value: String)] = [],
        _ body: [UInt8]? = nil
      ) async throws -> HTTPResponse {
        try await annals.client.send(
          HTTPRequest(method, annals.url + path, headers: headers, body: body, timeout: .seconds(45)))
      }
      // Large contents, whole, and weak tags of compressed answers.
      let made = try await annals.send(.post, "/documents", #"{"title":"Through the gateway"}"#)
      let id = try #require(made.json["id"]?.string)
      let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      let stored = try await send(
        .put, "/documents/\(id)/content", [("Content-Type", "application/x-test"), ("If-Match", "W/\"1\"")], content)
      #expect(stored.status == 200)
      #expect(try await send(.get, "/documents/\(id)/content").body == content)
      #expect(try await send(.get, "/documents/\(id)/content", [("Range", "bytes=5-9")]).body == Array(content[5..<10]))
      // The request's id goes through, a made-up address does not: it is one visitor.
      let named = try await send(
        .get, "/documents/\(id)", [("X-Request-ID", "mine-1"), ("X-Forwarded-For", "203.0.113.1")])
      #expect(named.header("x-request-id") == "mine-1")
      for number in 2...5 {
        _ = try await send(.get, "/documents/\(id)", [("X-Forwarded-For", "203.0.113.\(number)")])
      }
      let stats = try JSONValue(parsing: try await send(.get, "/documents/\(id)/stats").body)
      #expect(stats["total_views"] == 5 && stats["unique_views"] == 1, "\(stats)")
      // An event stream comes as it happens.
      let stream = await annals.client.open(
        HTTPRequest(.get, annals.url + "/documents/\(id)/events", timeout: .seconds(60)))
      #expect(try await stream.head().status == 200)
      var reader = EventReader(stream)
      #expect(try await annals.send(.patch, "/documents/\(id)", #"{"status":"viewed"}"#).status == 200)
      #expect(try await reader.next()?.name == "document.viewed")
      stream.cancel()

      // Pages of known origins, with credentials; others are told nothing.
      let origin = ("Origin", "http://localhost:3000")
      let page = try await send(.get, "/documents/\(id)", [origin])
      #expect(page.header("access-control-allow-origin") == "http://localhost:3000")
      #expect(
        page.header("access-control-allow-credentials") == "true" && page.header("vary")?.contains("Origin") == true)
      let refusal = try await send(.get, "/documents/none", [origin])
      #expect(refusal.status == 400 && refusal.header("access-control-allow-origin") == "http://localhost:3000")
      let asked = try await send(
        .options, "/signatures",
        [
          origin, ("Access-Control-Request-Method", "POST"),
          ("Access-Control-Request-Headers", "authorization,if-match"),
        ])
      #expect(asked.status == 204 && asked.header("access-control-allow-headers") == "authorization,if-match")
      #expect(asked.header("access-control-allow-methods")?.contains("PATCH") == true)
      for strange in ["http://localhost.evil.org", "https://evil.org", "null"] {
        let answer = try await send(.get, "/documents/\(id)", [("Origin", strange)])
        #expect(answer.status == 200 && answer.header("access-control-allow-origin") == nil, "\(strange)")
      }
      #expect(try await send(.get, "/readyz").status == 200)
      // Too many at once are refused, with the problem's form.
      let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<600 { group.addTask { try await send(.get, "/healthz").status } }
        return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
      }
      #expect(statuses.isSubset(of: [200, 429]), "\(statuses)")
    }
  }

  @Test("speaks TLS, and gRPC beside it; sockets go through")
  func tls() async throws {
    let port = Stack.uniquePort()
    try await withAnnals(["ANNALS_GRPC_PORT": "\(port)"], .gateway) { annals in
      let folder = #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined()
      let printed = try await annals.output(
        of: "\(folder)/Gateway/gateway.py", [annals.url, try #require(annals.tlsURL)])
      #expect(printed.hasSuffix("3 of 3 cases hold\n"), "\(printed)")
    }
  }
}
