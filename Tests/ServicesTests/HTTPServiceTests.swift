import Configuration
import HTTPClient
import HTTPServer
import Lifecycle
import Metrics
import Reactor
import Services
import Support
import Testing

@Suite("The HTTP service", .timeLimit(.minutes(1))) struct HTTPServiceTests {
  @Test("answers what is under way after the signal, a stream too, and takes nothing new")
  func stopping() async throws {
    try await withRoutes { context, _ in
      let reactor = context.reactor
      let (started, release) = (Doorbell(on: reactor), Doorbell(on: reactor))
      let stop = StopSignal()
      let port = Stack.uniquePort()
      @Sendable func pause() async {
        reactor.post { started.ring() }
        _ = await release.wait(timeout: .seconds(20))
      }
      let routes = [
        Route(.get, "/stream", "A stream.", right: .anyone, answers: []) { _ in
          Response(
            200,
            body: .stream(length: nil) { body in
              try await body.write(Array("first ".utf8))
              await pause()
              try await body.write(Array("last".utf8))
            })
        }
      ]
      let service = try HTTPService(HTTPServerOptions(port: UInt16(port)), contexts: [context]) { _ in
        [RouteGroup("Test", prefixes: [""], routes: routes)]
      }
      let running = Task(executorPreference: reactor) { try await service.run(until: stop) }
      let url = "http://127.0.0.1:\(port)/stream"
      let answer = Task(executorPreference: reactor) {
        let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
        var response: HTTPResponse?
        try await eventually("it listens", on: reactor) {
          do { response = try await client.send(HTTPRequest(.get, url)) } catch { return false }
          return true
        }
        await client.close()
        return response
      }
      #expect(await started.wait(timeout: .seconds(20)) == .rung)
      stop.signal()
      try await untilConnectionsAreRefused(port: port, on: reactor)
      release.ring()
      let response = try await answer.value
      #expect(response?.status == 200)
      #expect(response.map { String(decoding: $0.body, as: UTF8.self) } == "first last")
      try await running.value
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
