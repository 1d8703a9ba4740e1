import HTTPClient
import HTTPServer
import Reactor
import Support
import Testing

@Suite("Streams of the HTTP client", .workLimit(minutes: 2)) struct StreamTests {
  /// Answers what it is sent.
  private static var echo: Router {
    var router = Router()
    router.on(.post, "/echo") { request in
      let chunks = try await request.body.chunks(upTo: 1 << 30)
      return Response(
        200,
        body: .stream(length: request.body.length) { body in
          for try await chunk in chunks { try await body.write(chunk) }
        })
    }
    router.on(.get, "/bytes/{n}") { request in
      let count = Int(request.parameters["n"] ?? "") ?? 0
      return Response(
        200,
        body: .stream(length: count) { writer in
          var left = count
          while left > 0 {
            try await writer.write([UInt8](repeating: 7, count: min(left, 30_000)))
            left -= min(left, 30_000)
          }
        })
    }
    router.on(.post, "/count") { request in
      var count = 0
      for try await chunk in try await request.body.chunks(upTo: 1 << 30) { count += chunk.count }
      return .text("\(count)")
    }
    return router
  }

  @Test("hold back whoever is faster, and lose nothing", arguments: [0, 7])
  func download(_ pause: Int) async throws {
    try await withServer(Self.echo) { server in
      let size = 200_000_000
      let stream = await server.client.open(HTTPRequest(.get, server.url + "/bytes/\(size)"))
      #expect(try await stream.head().header("content-length") == "\(size)")
      var (count, pieces) = (0, 0)
      while let piece = try await stream.next() {
        (count, pieces) = (count + piece.count, pieces + 1)
        // Now and then the reader is slower than the server.
        if pause > 0, pieces % 400 == 0 { try await server.reactor.sleep(for: .milliseconds(pause)) }
      }
      #expect(count == size)
    }
  }

  @Test("pass on what another server sends, to a client that is slower")
  func passing() async throws {
    try await withServer(Self.echo) { source in
      var router = Router()
      router.on(.get, "/pass/{n}") { request in
        let stream = await source.client.open(
          HTTPRequest(.get, source.url + "/bytes/\(request.parameters["n"] ?? "")"))
        _ = try await stream.head()
        return Response(
          200,
          body: .stream(length: nil) { body in while let piece = try await stream.next() { try await body.write(piece) }
          })
      }
      try await withServer(router) { server in
        let stream = await server.client.open(HTTPRequest(.get, server.url + "/pass/200000000"))
        var (count, pieces) = (0, 0)
        while let piece = try await stream.next() {
          (count, pieces) = (count + piece.count, pieces + 1)
          if pieces % 400 == 0 { try await server.reactor.sleep(for: .milliseconds(3)) }
        }
        #expect(count == 200_000_000)
      }
    }
  }

  @Test("fail when their server makes no progress, also while others begin all the time")
  func stall() async throws {
    var router = Self.echo
    router.on(.get, "/silent") { _ in
      Response(
        200,
        body: .stream(length: nil) { writer in
          try await writer.write([1])
          try await Task.sleep(for: .seconds(60))
        })
    }
    try await withServer(router) { server in
      let silent = await server.client.open(HTTPRequest(.get, server.url + "/silent", timeout: .seconds(2)))
      _ = try await silent.next()
      let others = Task(executorPreference: server.reactor) {
        while !Task.isCancelled {
          let other = await server.client.open(HTTPRequest(.get, server.url + "/bytes/10"))
          _ = try await other.response()
          try await server.reactor.sleep(for: .milliseconds(100))
        }
      }
      let error = await #expect(throws: HTTPClientError.self) { try await silent.next() }
      #expect(error?.kind == .timedOut)
      others.cancel()
      _ = await others.result
    }
  }

  @Test("send a body of a known length while the server reads it")
  func upload() async throws {
    try await withServer(Self.echo) { server in
      let stream = await server.client.open(HTTPRequest(.post, server.url + "/count"), bodyLength: 100_000_000)
      for _ in 0..<1_000 { try await stream.write([UInt8](repeating: 1, count: 100_000)) }
      await stream.endBody()
      let response = try await stream.response()
      #expect(String(decoding: response.body, as: UTF8.self) == "100000000")
    }
  }
}
