import Glibc
import HTTPClient
import HTTPServer
import Metrics
import Reactor
import Support
import Testing

struct TestServer: Sendable {
  let url: String
  let port: UInt16
  let reactor: Reactor
  let client: HTTPClient

  func get(_ path: String) async throws -> HTTPResponse { try await client.send(HTTPRequest(.get, url + path)) }
  func send(_ request: HTTPRequest) async throws -> HTTPResponse { try await client.send(request) }

  /// Sends bytes as they are over a connection of their own and returns all that comes back until it is closed.
  func raw(_ text: String) async throws -> String {
    let port = port
    return await Reactor.offLoop(.remote) {
      let descriptor = connectTo(port)
      defer { close(descriptor) }
      let bytes = Array(text.utf8)
      Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      shutdown(descriptor, Int32(SHUT_WR))
      var answer: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 4_096)
      while case let count = recv(descriptor, &buffer, buffer.count, 0), count > 0 { answer += buffer[..<count] }
      return String(decoding: answer, as: UTF8.self)
    }
  }
}

/// A blocking connection with a timeout of twenty seconds.
func connectTo(_ port: UInt16) -> Int32 {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var timeout = timeval(tv_sec: 20, tv_usec: 0)
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  _ = withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  return descriptor
}

func withServer(
  _ router: Router, options: HTTPServerOptions = HTTPServerOptions(port: 0, drainTimeout: .seconds(2)),
  _ body: @Sendable (TestServer) async throws -> Void
) async throws {
  try await withReactor { reactor in
    let server = HTTPServer(
      options, router: router, on: reactor, logger: quietLogger(), metrics: MetricsRegistry(),
      errorResponse: { error, _ in (error as? Problem)?.response ?? Problem(500, "Error", detail: "\(error)").response }
    )
    let port = try await server.start()
    let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
    let result: Result<Void, any Error>
    do {
      result = .success(
        try await body(TestServer(url: "http://127.0.0.1:\(port)", port: port, reactor: reactor, client: client)))
    } catch { result = .failure(error) }
    await client.close()
    await server.shutdown()
    try result.get()
  }
}

@Suite("The HTTP server", .workLimit(minutes: 5)) struct HTTPServerTests {
  private func text(_ response: HTTPResponse) -> String { String(decoding: response.body, as: UTF8.self) }

  @Test("finds routes, decodes parameters and queries, answers HEAD and says what is possible")
  func routing() async throws {
    var router = Router()
    router.on(.get, "/things/{id}") { .text("\($0.parameters["id"] ?? "") \($0.query("q") ?? "-")") }
    router.on(.get, "/things/all") { _ in .text("all") }
    router.on(.delete, "/things/{id}") { _ in Response(204) }
    try await withServer(router) { server in
      let found = try await server.get("/things/a%20b?q=x+y%26z")
      #expect(text(found) == "a b x y&z")
      #expect(text(try await server.get("/things/all")) == "all")
      #expect(try await server.get("/nothing").status == 404)
      let head = try await server.send(HTTPRequest(.head, server.url + "/things/all"))
      #expect(head.status == 200 && head.body.isEmpty && head.header("content-length") == "3")
      let wrong = try await server.send(HTTPRequest(.put, server.url + "/things/1"))
      #expect(wrong.status == 405 && wrong.header("allow") == "DELETE, GET, HEAD, OPTIONS")
      #expect(wrong.header("content-type") == "application/problem+json")
      let options = try await server.send(HTTPRequest(.options, server.url + "/things/1"))
      #expect(options.status == 204 && options.header("allow") == "DELETE, GET, HEAD, OPTIONS")
      let answer1 = try await server.send(HTTPRequest(.delete, server.url + "/things/1"))
      #expect(answer1.status == 204)
    }
  }

  @Test("collects bodies up to their limit and takes forms apart")
  func bodies() async throws {
    var router = Router()
    router.on(.post, "/echo") { request in
      if let form = try await Form(request, upTo: 100_000) {
        var texts: [String] = []
        while let part = try await form.nextPart() {
          texts.append("\(part.name)=\(part.filename ?? "")/\(try await form.bytes(upTo: 60_000).count)")
        }
        return .text(texts.joined(separator: " "))
      }
      let bytes = try await request.body.bytes(upTo: 100_000)
      return bytes.isEmpty ? .text("empty") : Response(200, body: .bytes(bytes))
    }
    try await withServer(router) { server in
      let body = [UInt8](repeating: 65, count: 100_000)
      let answer2 = try await server.send(HTTPRequest(.post, server.url + "/echo", body: body))
      #expect(answer2.body == body)
      for size in [100_001, 3_000_000] {
        let large = HTTPRequest(.post, server.url + "/echo", body: [UInt8](repeating: 65, count: size))
        let answer3 = try await server.send(large)
        #expect(answer3.status == 413)
      }
      let answer4 = try await server.send(HTTPRequest(.post, server.url + "/echo"))
      #expect(text(answer4) == "empty")
      let form =
        "--border\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nhello\r\n"
        + "--border\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n"
        + String(repeating: "x", count: 50_000) + "\r\n--border--\r\n"
      let sent = HTTPRequest(
        .post, server.url + "/echo", headers: [("Content-Type", "multipart/form-data; boundary=border")],
        body: Array(form.utf8))
      let answer5 = try await server.send(sent)
      #expect(text(answer5) == "title=/5 file=a.txt/50000")
    }
  }

  @Test("streams both ways and holds the sender back")
  func streaming() async throws {
    var router = Router()
    router.on(.post, "/count") { request in
      var count = 0
      for try await chunk in try await request.body.chunks(upTo: 1 << 30) { count += chunk.count }
      return .text("\(count)")
    }
    router.on(.get, "/bytes/{n}") { request in
      let count = Int(request.parameters["n"] ?? "") ?? 0
      return Response(
        200,
        body: .stream(length: nil) { writer in
          var left = count
          while left > 0 {
            try await writer.write([UInt8](repeating: 7, count: min(left, 10_000)))
            left -= min(left, 10_000)
          }
        })
    }
    router.on(.post, "/early") { _ in throw Problem(401, "No", detail: "no") }
    try await withServer(router) { server in
      let body = [UInt8](repeating: 1, count: 5_000_000)
      let answer7 = try await server.send(HTTPRequest(.post, server.url + "/count", body: body))
      #expect(text(answer7) == "5000000")
      #expect(try await server.get("/bytes/3000001").body.count == 3_000_001)
      let answer8 = try await server.send(HTTPRequest(.post, server.url + "/early", body: [1, 2, 3]))
      #expect(answer8.status == 401)
    }
  }

  @Test("cancels a handler whose client went away")
  func clientGone() async throws {
    try await withReactor { outer in
      let cancelled = Doorbell(on: outer)
      let started = Doorbell(on: outer)
      var router = Router()
      router.on(.get, "/slow") { _ in
        outer.post { started.ring() }
        do { try await Task.sleep(for: .seconds(60)) } catch {
          outer.post { cancelled.ring() }
          throw error
        }
        return .text("done")
      }
      try await withServer(router) { server in
        let port = server.port
        let descriptor = await Reactor.offLoop(.remote) {
          let descriptor = connectTo(port)
          send(descriptor, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", 31, 0)
          return descriptor
        }
        await outer.run {
          #expect(await started.wait(timeout: .seconds(5)) == .rung)
          close(descriptor)
          #expect(await cancelled.wait(timeout: .seconds(5)) == .rung)
        }
      }
      started.close()
      cancelled.close()
    }
  }

  @Test("ends a handler that takes too long")
  func handlerTimeout() async throws {
    var router = Router()
    router.on(.get, "/slow") { _ in
      try await Task.sleep(for: .seconds(60))
      return .text("done")
    }
    try await withServer(router, options: HTTPServerOptions(port: 0, handlerTimeout: .milliseconds(300))) { server in
      let status = try await server.get("/slow").status
      #expect(status == 500)
    }
  }

  @Test(
    "refuses what two servers could read in two ways",
    arguments: [
      "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", "GET /%2F HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /a/%00 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    ])
  func smuggling(_ request: String) async throws {
    var router = Router()
    for path in ["/", "/{a}", "/{a}/{b}", "/{a}/{b}/{c}"] {
      router.on(.get, path) { _ in .text("reached") }
    }
    router.on(.post, "/") { _ in .text("reached") }
    try await withServer(router) { server in
      let answer = try await server.raw(request)
      #expect(answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.1 501"))
      #expect(!answer.contains("reached"))
    }
  }

  @Test("lets requests end when it stops, and takes no more")
  func drain() async throws {
    try await withReactor { reactor in
      var router = Router()
      let (started, release) = (Doorbell(on: reactor), Doorbell(on: reactor))
      router.on(.get, "/slow") { _ in
        reactor.post { started.ring() }
        _ = await release.wait(timeout: .seconds(20))
        return .text("done")
      }
      let server = HTTPServer(
        HTTPServerOptions(port: 0, drainTimeout: .seconds(20)), router: router, on: reactor, logger: quietLogger(),
        metrics: MetricsRegistry(), errorResponse: { _, _ in Response(500) })
      let port = try await server.start()
      let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
      let answer = Task(executorPreference: reactor) {
        try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(port)/slow"))
      }
      #expect(await started.wait(timeout: .seconds(5)) == .rung)
      let stopping = Task(executorPreference: reactor) { await server.shutdown() }
      // The request is still under way while new connections are refused.
      try await untilConnectionsAreRefused(port: Int(port), on: reactor)
      release.ring()
      let answered = try await answer.value
      #expect(answered.status == 200)
      #expect(text(answered) == "done")
      await stopping.value
      await client.close()
      for bell in [started, release] { bell.close() }
    }
  }

  @Test("says so when its port is taken")
  func taken() async throws {
    try await withServer(Router()) { server in
      let second = HTTPServer(
        HTTPServerOptions(port: server.port), router: Router(), on: server.reactor, logger: quietLogger(),
        metrics: MetricsRegistry(), errorResponse: { _, _ in Response(500) })
      let error = await #expect(throws: HTTPServerError.self) { try await second.start() }
      #expect("\(error!)".contains("\(server.port)"))
    }
  }
}

@Suite("The HTTP client", .workLimit(minutes: 5)) struct HTTPClientTests {
  @Test("gives up in time, at its limit, and when it is cancelled")
  func limits() async throws {
    var router = Router()
    router.on(.get, "/slow") { _ in
      try await Task.sleep(for: .seconds(60))
      return .text("done")
    }
    router.on(.get, "/large") { _ in Response(200, body: .bytes([UInt8](repeating: 1, count: 100_000))) }
    try await withServer(router) { server in
      let slow = await #expect(throws: HTTPClientError.self) {
        try await server.send(HTTPRequest(.get, server.url + "/slow?secret=1", timeout: .milliseconds(200)))
      }
      #expect(slow?.kind == .timedOut)
      #expect(slow?.url == server.url + "/slow")
      let large = await #expect(throws: HTTPClientError.self) {
        try await server.send(HTTPRequest(.get, server.url + "/large", maximumResponse: 1_000))
      }
      #expect(large?.kind == .tooLarge)
      let waiting = Task(executorPreference: server.reactor) { try await server.get("/slow") }
      try await server.reactor.sleep(for: .milliseconds(50))
      waiting.cancel()
      let cancelled = await #expect(throws: HTTPClientError.self) { try await waiting.value }
      #expect(cancelled?.kind == .cancelled)
      let nobody = await #expect(throws: HTTPClientError.self) {
        try await server.send(HTTPRequest(.get, "http://127.0.0.1:1/"))
      }
      #expect(nobody?.kind == .connecting)
    }
  }

  @Test("has many requests under way at once")
  func concurrency() async throws {
    var router = Router()
    router.on(.get, "/{n}") { .text($0.parameters["n"] ?? "") }
    try await withServer(router) { server in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for number in 0..<200 {
          group.addTask { try await server.get("/\(number)").body == Array("\(number)".utf8) }
        }
        for try await isRight in group { #expect(isRight) }
      }
    }
  }
}
