import Configuration
import HTTPClient
import HTTPServer
import Lifecycle
import Metrics
import Reactor
import Services
import Support
import Synchronization
import Testing

@Suite("The HTTP service", .workLimit(minutes: 1)) struct HTTPServiceTests {
  @Test("answers what is under way after the signal: a request, an upload and a stream; it takes nothing new")
  func stopping() async throws {
    try await withRoutes { context, _ in
      let reactor = context.reactor
      let (started, release) = (Doorbell(on: reactor), Doorbell(on: reactor))
      let stop = StopSignal()
      let port = Stack.uniquePort()
      let underWay = Mutex(0)
      @Sendable func begin() {
        if underWay.withLock({
          $0 += 1; return $0 == 3
        }) {
          reactor.post { started.ring() }
        }
      }
      let routes = [
        Route(.get, "/slow", "A slow request.", right: .anyone, answers: []) { _ in
          begin()
          _ = await release.wait(timeout: .seconds(20))
          return .text("slow")
        },
        Route(.get, "/stream", "A stream.", right: .anyone, answers: []) { _ in
          Response(
            200,
            body: .stream(length: nil) { body in
              try await body.write(Array("first ".utf8))
              begin()
              try await eventually("the stop", on: reactor) { stop.isSignalled }
              try await body.write(Array("last".utf8))
            })
        },
        Route(.put, "/upload", "An upload.", right: .anyone, body: .content, answers: []) { request in
          begin()
          var count = 0
          for try await chunk in try await request.body.chunks(upTo: 1 << 20) { count += chunk.count }
          return .text("\(count)")
        },
        Route(.get, "/up", "Whether it listens.", right: .anyone, answers: []) { _ in .text("up") },
      ]
      let service = try HTTPService(HTTPServerOptions(port: UInt16(port)), contexts: [context]) { _ in
        [RouteGroup("Test", prefixes: [""], routes: routes)]
      }
      let running = Task(executorPreference: reactor) { try await service.run(until: stop) }
      let url = "http://127.0.0.1:\(port)"
      let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
      try await eventually("it listens", on: reactor) {
        do { return try await client.send(HTTPRequest(.get, url + "/up")).status == 200 } catch { return false }
      }
      let answers = ["/slow", "/stream"].map { path in
        Task(executorPreference: reactor) {
          try await client.send(HTTPRequest(.get, url + path, timeout: .seconds(30)))
        }
      }
      let upload = await client.open(HTTPRequest(.put, url + "/upload", timeout: .seconds(30)), bodyLength: 200_000)
      try await upload.write([UInt8](repeating: 1, count: 100_000))
      #expect(await started.wait(timeout: .seconds(20)) == .rung)
      stop.signal()
      try await untilConnectionsAreRefused(port: port, on: reactor)
      release.ring()
      try await upload.write([UInt8](repeating: 1, count: 100_000))
      await upload.endBody()
      let uploaded = try await upload.response()
      #expect(uploaded.status == 200 && String(decoding: uploaded.body, as: UTF8.self) == "200000")
      for (answer, expected) in zip(answers, ["slow", "first last"]) {
        let response = try await answer.value
        #expect(response.status == 200 && String(decoding: response.body, as: UTF8.self) == expected)
      }
      try await running.value
      await client.close()
      for bell in [started, release] { bell.close() }
    }
  }

  @Test("says so when its port is taken")
  func taken() async throws {
    try await withRoutes { context, _ in
      let port = Stack.uniquePort()
      let other = HTTPServer(
        HTTPServerOptions(port: UInt16(port)), router: Router(), on: context.reactor, logger: quiet,
        metrics: MetricsRegistry())
      try await other.start()
      let service = try HTTPService(HTTPServerOptions(port: UInt16(port)), contexts: [context]) { _ in [] }
      await #expect(throws: HTTPServerError.self) { try await service.run(until: StopSignal()) }
      await other.shutdown()
    }
  }
}
