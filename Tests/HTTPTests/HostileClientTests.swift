import Glibc
import HTTPClient
import HTTPServer
import Metrics
import Reactor
import Support
import Testing

/// A client that writes and reads its bytes itself, off the loop.
struct RawClient: Sendable {
  let descriptor: Int32

  init(_ port: UInt16) async { descriptor = await Reactor.offLoop(.remote) { connectTo(port) } }

  /// Returns how many bytes the socket took; less than all if the server has closed.
  @discardableResult
  func send(_ bytes: [UInt8]) async -> Int {
    await Reactor.offLoop(.remote) { [descriptor] in
      var sent = 0
      while sent < bytes.count {
        let count = bytes.withUnsafeBytes {
          Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { break }
        sent += count
      }
      return sent
    }
  }

  func send(_ text: String) async { await send(Array(text.utf8)) }

  /// Reads until the server closes, or until a text has come.
  func read(until text: String? = nil) async -> String {
    await Reactor.offLoop(.remote) { [descriptor] in
      var (answer, buffer): ([UInt8], [UInt8]) = ([], [UInt8](repeating: 0, count: 4_096))
      while case let count = recv(descriptor, &buffer, buffer.count, 0), count > 0 {
        answer += buffer[..<count]
        if let text, String(decoding: answer, as: UTF8.self).contains(text) { break }
      }
      return String(decoding: answer, as: UTF8.self)
    }
  }

  func end() { close(descriptor) }
}

@Suite("A client that is slow or hostile", .workLimit(minutes: 1)) struct HostileClientTests {
  private static let strict = HTTPServerOptions(
    port: 0, headTimeout: .milliseconds(600), leastRate: 10_000, patience: .milliseconds(800),
    drainTimeout: .seconds(2), bodyMemory: 1 << 20)

  private static var router: Router {
    var router = Router()
    router.on(.post, "/take") { .text("\(try await $0.body.bytes(upTo: 100_000_000).count)") }
    router.on(.get, "/large") { _ in
      Response(
        200,
        body: .stream(length: nil) { body in while true { try await body.write([UInt8](repeating: 7, count: 60_000)) } }
      )
    }
    router.on(.post, "/refuse") { request in
      for try await _ in try await request.body.chunks(upTo: 1 << 30) { break }
      throw Problem(403, "Forbidden", detail: "too late, but answered")
    }
    router.on(.post, "/denied") { _ in throw Problem(401, "Unauthorized", detail: "at the head") }
    router.on(.get, "/split") { _ in Response(200, headers: [("X-A", "1\r\nX-B: 2")]) }
    return router
  }

  @Test("sends its head byte by byte: 408, and the connection ends")
  func slowHead() async throws {
    try await withServer(Self.router, options: Self.strict) { server in
      let client = await RawClient(server.port)
      await client.send("GET /split HTTP/1.1\r\nX: ")
      let trickle = Task {
        for _ in 0..<10_000 {
          guard await client.send([121]) == 1 else { return }
          try await Task.sleep(for: .milliseconds(20))
        }
      }
      let answer = await client.read()
      #expect(answer.hasPrefix("HTTP/1.1 408"))
      trickle.cancel()
      _ = await trickle.result
      client.end()
    }
  }

  @Test("sends its body byte by byte: 408, and the connection ends")
  func slowBody() async throws {
    try await withServer(Self.router, options: Self.strict) { server in
      let client = await RawClient(server.port)
      await client.send("POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
      let trickle = Task {
        for _ in 0..<1_000 {
          guard await client.send([65]) == 1 else { return }
          try await Task.sleep(for: .milliseconds(20))
        }
      }
      let answer = await client.read()
      #expect(answer.hasPrefix("HTTP/1.1 408"))
      #expect(answer.contains("10000 bytes in a second"))
      trickle.cancel()
      _ = await trickle.result
      client.end()
    }
  }

  @Test("is not blamed while the handler does not read")
  func slowHandler() async throws {
    var router = Router()
    router.on(.post, "/late") { request in
      try await Task.sleep(for: .milliseconds(1_500))
      return .text("\(try await request.body.bytes(upTo: 10_000_000).count)")
    }
    try await withServer(router, options: HTTPServerOptions(port: 0, leastRate: 10_000, patience: .milliseconds(500))) {
      server in
      let body = [UInt8](repeating: 1, count: 5_000_000)
      let answer = try await server.send(HTTPRequest(.post, server.url + "/late", body: body))
      #expect(String(decoding: answer.body, as: UTF8.self) == "5000000")
    }
  }

  @Test("takes its answer byte by byte: it is cut off, and the producer ends")
  func slowReader() async throws {
    try await withReactor { outer in
      let ended = Doorbell(on: outer)
      var router = Router()
      router.on(.get, "/endless") { _ in
        Response(
          200,
          body: .stream(length: nil) { body in
            defer { outer.post { ended.ring() } }
            while true { try await body.write([UInt8](repeating: 7, count: 60_000)) }
          })
      }
      try await withServer(router, options: Self.strict) { server in
        let client = await RawClient(server.port)
        await client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await outer.run { #expect(await ended.wait(timeout: .seconds(20)) == .rung) }
        client.end()
      }
      ended.close()
    }
  }

  @Test("is told of a late refusal, although it sends all before it reads", arguments: [true, false])
  func lateRefusal(_ isChunked: Bool) async throws {
    try await withServer(Self.router, options: HTTPServerOptions(port: 0)) { server in
      let client = await RawClient(server.port)
      let piece = [UInt8](repeating: 65, count: 1 << 20)
      let length = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(20 << 20)"
      await client.send("POST /refuse HTTP/1.1\r\nHost: x\r\n\(length)\r\n\r\n")
      for _ in 0..<20 {
        if isChunked { await client.send("100000\r\n") }
        #expect(await client.send(piece) == piece.count)
        if isChunked { await client.send("\r\n") }
      }
      let answer = await client.read()
      #expect(answer.hasPrefix("HTTP/1.1 403"))
      #expect(answer.contains("too late, but answered") && answer.contains("Connection: close"))
      client.end()
    }
  }

  @Test("is refused at the head, before 100 Continue and before a body; a small body leaves the connection open")
  func early() async throws {
    try await withServer(Self.router, options: HTTPServerOptions(port: 0)) { server in
      let asking = await RawClient(server.port)
      await asking.send("POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
      let refusal = await asking.read()
      #expect(refusal.hasPrefix("HTTP/1.1 401"))
      asking.end()

      let welcome = await RawClient(server.port)
      await welcome.send("POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
      #expect(await welcome.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100"))
      await welcome.send("abcd")
      #expect(await welcome.read(until: "\r\n\r\n4").hasPrefix("HTTP/1.1 200"))
      // The connection stays open after a refusal of a small body.
      await welcome.send("POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd")
      #expect(await welcome.read(until: "at the head").hasPrefix("HTTP/1.1 401"))
      await welcome.send("POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
      #expect(await welcome.read(until: "\r\n\r\n2").hasPrefix("HTTP/1.1 200"))
      welcome.end()
    }
  }

  @Test("keeps no more bodies in memory than the listener allows: 503, and others are answered again afterwards")
  func memory() async throws {
    try await withReactor { outer in
      let held = Doorbell(on: outer)
      var router = Self.router
      router.on(.post, "/hold") { request in
        var count = 0
        for try await chunk in try await request.body.chunks(upTo: 2_000_000) {
          try await request.body.reserve(chunk.count)
          count += chunk.count
          if count == 900_000 { outer.post { held.ring() } }
        }
        return .text("\(count)")
      }
      let options = HTTPServerOptions(port: 0, drainTimeout: .seconds(1), bodyMemory: 1 << 20)
      try await withServer(router, options: options) { server in
        let holder = await RawClient(server.port)
        await holder.send("POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        await holder.send([UInt8](repeating: 65, count: 900_000))
        await outer.run { #expect(await held.wait(timeout: .seconds(20)) == .rung) }
        let body = [UInt8](repeating: 65, count: 300_000)
        let refused = try await server.send(HTTPRequest(.post, server.url + "/take", body: body))
        #expect(refused.status == 503 && refused.header("retry-after") == "1")
        holder.end()
        try await eventually("the memory is free again", on: server.reactor) {
          try await server.send(HTTPRequest(.post, server.url + "/take", body: body)).status == 200
        }
      }
      held.close()
    }
  }

  @Test("asks for the head of a stream: the next answer on its connection, or another connection, is sound")
  func headOfStream() async throws {
    try await withServer(Self.router) { server in
      let client = await RawClient(server.port)
      await client.send(
        "HEAD /large HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      let answer = await client.read()
      #expect(answer.hasPrefix("HTTP/1.1 200"))
      let end = answer.firstRange(of: "\r\n\r\n")?.upperBound ?? answer.endIndex
      #expect(answer[end...].isEmpty || answer[end...].hasPrefix("HTTP/1.1 404"), "\(answer[end...].prefix(40))")
      client.end()
    }
  }

  @Test("goes away: the producer of its answer is cancelled, also one that began at once")
  func producerCancelled() async throws {
    try await withReactor { outer in
      let (started, ended) = (Doorbell(on: outer), Doorbell(on: outer))
      var router = Router()
      router.on(.get, "/wait") { _ in
        Response(
          200,
          body: .stream(length: nil) { body in
            try await body.write([1])
            outer.post { started.ring() }
            do { try await Task.sleep(for: .seconds(60)) } catch {
              outer.post { ended.ring() }
              throw error
            }
          })
      }
      try await withServer(router) { server in
        let client = await RawClient(server.port)
        await client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await outer.run {
          #expect(await started.wait(timeout: .seconds(10)) == .rung)
          client.end()
          #expect(await ended.wait(timeout: .seconds(10)) == .rung)
        }
      }
      for bell in [started, ended] { bell.close() }
    }
  }

  @Test("gets 500 instead of a header that would be two")
  func responseSplitting() async throws {
    try await withServer(Self.router) { server in
      let answer = try await server.get("/split")
      #expect(answer.status == 500 && answer.header("x-b") == nil)
    }
  }

  @Test("may send absolute targets and OPTIONS *; a request keeps its id, or gets one")
  func targets() async throws {
    var router = Router()
    router.on(.get, "/a/{b}") { .text("\($0.parameters["b"] ?? "") \($0.query("q") ?? "-")") }
    router.on(.get, "/{x}/literal/end") { _ in .text("back") }
    router.on(.get, "/a/literal/other") { _ in .text("forward") }
    try await withServer(router) { server in
      let requests = [
        ("GET http://example.org/a/c?q=1 HTTP/1.1\r\nHost: example.org", "c 1"),
        ("GET HTTPS://example.org:8443/a/c HTTP/1.1\r\nHost: example.org", "c -"),
        ("OPTIONS * HTTP/1.1\r\nHost: x", "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("GET /a/literal/end HTTP/1.1\r\nHost: x", "back"), ("GET /a/literal/other HTTP/1.1\r\nHost: x", "forward"),
        ("GET /a/c HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine-1", "X-Request-ID: mine-1"),
        ("GET /a/c HTTP/1.0\r\nHost: a\r\nHost: b", "HTTP/1.1 400"),
        ("GET ftp://x/a HTTP/1.1\r\nHost: x", "HTTP/1.1 400"),
        ("GET /a#b HTTP/1.1\r\nHost: x", "HTTP/1.1 400"), ("BREW /a HTTP/1.1\r\nHost: x", "HTTP/1.1 501"),
        ("TRACE /a HTTP/1.1\r\nHost: x", "HTTP/1.1 405"),
        ("GET /a/c HTTP/1.1\r\nHost: x\r\nExpect: cake", "HTTP/1.1 417"),
        ("GET /a/c HTTP/1.1\r\nHost: x\r\nX-Fold: a\r\n b", "HTTP/1.1 400"),
        ("POST /a/c HTTP/1.1\r\nHost: x\r\nContent-Len: 44\r\n gth", "HTTP/1.1 400"),
        (
          "GET /a/c HTTP/1.1\r\nHost: x"
            + (0..<200).map { "\r\nX-\($0): \(String(repeating: "y", count: 80))" }.joined(), "HTTP/1.1 431"
        ),
      ]
      for (request, expected) in requests {
        let answer = try await server.raw(request + "\r\nConnection: close\r\n\r\n")
        #expect(answer.contains(expected), "\(request) \(answer)")
      }
      let answer = try await server.raw(
        "GET /a/c HTTP/1.1\r\nHost: x\r\nX-Request-ID: a b\r\nConnection: close\r\n\r\n")
      #expect(answer.contains("X-Request-ID: ") && !answer.contains("a b"), "an id that is not harmless is replaced")
    }
  }

  @Test("is counted and observed whatever it sends")
  func counted() async throws {
    try await withReactor { reactor in
      let metrics = MetricsRegistry()
      let (stream, observed) = AsyncStream<AnsweredRequest>.makeStream()
      var options = HTTPServerOptions(port: 0)
      options.observe = { observed.yield($0) }
      let server = HTTPServer(options, router: Self.router, on: reactor, logger: quietLogger(), metrics: metrics)
      let port = try await server.start()
      var next = stream.makeAsyncIterator()
      for (request, status) in [
        ("GET /large? HTTP/1.1", 400), ("GET /none HTTP/1.1\r\nHost: x", 404), ("PUT /large HTTP/1.1\r\nHost: x", 405),
        ("POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000", 413),
      ] {
        let client = await RawClient(port)
        await client.send(request + "\r\n\r\n")
        #expect(await client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 \(status)"))
        client.end()
        let seen = await next.next()
        #expect(seen?.status == status && seen?.id.isEmpty == false && seen?.address == "127.0.0.1")
        #expect(metrics.prometheusText().contains("annals_http_responses_total{status=\"\(status)\"} 1"))
      }
      await server.shutdown()
    }
  }
}
