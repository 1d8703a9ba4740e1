import Files
import Glibc
import HTTPClient
import JSON
import Metrics
import Reactor
import Support
import Testing

/// What each route does without one of the servers, as docs/operations.md says.
@Suite("Servers that are away, or slow", .workLimit(minutes: 8)) struct DependencyTests {
  /// Lines to the servers that can be refused, or slow.
  private struct Lines: Sendable {
    let control: Int
    let annals: RunningAnnals

    func set(_ verb: String) async throws {
      let answer = try await annals.client.send(
        HTTPRequest(.post, "http://127.0.0.1:\(control)/\(verb)", body: [], timeout: .seconds(30)))
      #expect(answer.status == 204)
    }

    /// - Returns: How the program finds a server.
    func state(of name: String) async throws -> String {
      let ready = try await annals.send(.get, "/readyz").json
      return ready["dependencies"]?.array?.first { $0["name"]?.string == name }?["state"]?.string ?? "missing"
    }

    /// Sends until the server is found to be in a state.
    func ask(
      _ method: HTTPRequest.Method, _ path: String, until state: String, of name: String, within time: Duration
    ) async throws {
      try await eventually("\(name) is \(state)", within: time, on: annals.reactor) {
        _ = try await annals.send(method, path)
        return try await self.state(of: name) == state
      }
    }

    /// Sends a request, and says how long its answer took.
    func timed(
      _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil
    ) async throws -> (status: Int, time: Duration) {
      let start = ContinuousClock.now
      let status = try await annals.send(method, path, body).status
      return (status, .now - start)
    }
  }

  /// - Parameter body: Gets the id of a document with content that everything knows.
  private func withLines(_ body: @escaping @Sendable (Lines, String) async throws -> Void) async throws {
    @Sendable func port(_ url: String) -> String {
      String(url.split(separator: ":").last?.prefix { $0.isNumber } ?? "")
    }
    let names = ["redis", "elasticsearch", "s3", "postgres"]
    let own = names.map { _ in Stack.uniquePort() }
    let control = Stack.uniquePort()
    let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
    defer { close(null) }
    try await withReactor { reactor in
      // The rows of all documents in a Redis are one installation's.
      let redis = try await RedisServer.start(on: reactor)
      let targets = [
        port(redis.url), port(try Stack.elasticsearch), port(try Stack.s3),
        port(try Stack.postgres.split(separator: "/").dropFirst().first.map(String.init) ?? ""),
      ]
      let proxies = try await ChildProcess.start(
        "python3",
        ["Tests/Rig/proxy.py", "control=\(control)"]
          + zip(names, zip(own, targets)).map { "\($0)=\($1.0):\($1.1)" }, output: null, on: reactor)
      let result: Result<Void, any Error>
      do {
        let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
        try await eventually("the proxies listen", on: reactor) {
          (try? await client.send(HTTPRequest(.post, "http://127.0.0.1:\(control)/heal/redis", body: []))) != nil
        }
        await client.close()
        result = .success(
          try await withAnnals([
            "ANNALS_REDIS_URL": "redis://127.0.0.1:\(own[0])",
            "ANNALS_ELASTICSEARCH_URL": "http://127.0.0.1:\(own[1])", "ANNALS_ELASTICSEARCH_TIMEOUT": "1s",
            "ANNALS_S3_ENDPOINT": "http://127.0.0.1:\(own[2])",
            "ANNALS_POSTGRES_URL": "postgresql://annals@127.0.0.1:\(own[3])/{database}",
            "ANNALS_PROJECTION_VIEWS": "document-cache,document-search",
            "ANNALS_CACHE_MEMORY": "0",
          ]) { annals in
            let lines = Lines(control: control, annals: annals)
            let made = try await annals.send(.post, "/documents", #"{"title":"Lease","content":"of a house"}"#)
            let id = made.json["id"]?.string ?? ""
            #expect(made.status == 201)
            try await eventually("it is found", on: annals.reactor) {
              try await annals.send(.get, "/search?q=lease").json["total"] == 1
            }
            try await eventually("it is in Redis", on: annals.reactor) {
              try await annals.send(.get, "/documents/\(id)").response.header("x-annals-source") == "cache"
            }
            try await body(lines, id)
          })
      } catch { result = .failure(error) }
      await proxies.signal(SIGTERM)
      _ = await proxies.wait()
      await redis.stop()
      try result.get()
    }
  }

  @Test("Redis: rows come from the log; once it is left alone nobody waits for it") func redis() async throws {
    try await withLines { lines, id in
      for fault in ["slow/redis/5", "refuse/redis"] {
        try await lines.set(fault)
        if fault.hasPrefix("slow") {
          try await lines.ask(.get, "/documents/\(id)", until: "resting", of: "Redis", within: .seconds(60))
        }
        // A probe is one request that waits for two seconds.
        var times: [Duration] = []
        for _ in 0..<9 {
          let (status, time) = try await lines.timed(.get, "/documents/\(id)")
          #expect(status == 200)
          times.append(time)
        }
        #expect(times.sorted()[4] < .seconds(2), "\(fault): \(times)")
        #expect(try await lines.timed(.post, "/documents", #"{"title":"Another"}"#).status == 201)
        #expect(try await lines.timed(.get, "/search?q=lease").status == 200)
        #expect(try await lines.timed(.get, "/documents/\(id)/content").status == 200)
        try await lines.set("heal/redis")
        try await lines.ask(.get, "/documents/\(id)", until: "working", of: "Redis", within: .seconds(60))
      }
    }
  }

  @Test("Elasticsearch: searches end in time with 503, then at once; nothing else is touched")
  func elasticsearch() async throws {
    try await withLines { lines, id in
      for fault in ["slow/elasticsearch/5", "refuse/elasticsearch"] {
        try await lines.set(fault)
        try await lines.ask(.get, "/search?q=lease", until: "resting", of: "Elasticsearch", within: .seconds(60))
        var times: [Duration] = []
        for _ in 0..<9 {
          let (status, time) = try await lines.timed(.get, "/search?q=lease")
          #expect(status == 503)
          times.append(time)
        }
        // A slow server would take five.
        #expect(times.allSatisfy { $0 < .seconds(4) }, "\(fault): \(times)")
        #expect(try await lines.timed(.get, "/documents/\(id)").status == 200)
        #expect(try await lines.timed(.get, "/documents/\(id)/content").status == 200)
        #expect(try await lines.timed(.post, "/documents", #"{"title":"Another"}"#).status == 201)
        #expect(try await lines.timed(.get, "/readyz").status == 200)
        try await lines.set("heal/elasticsearch")
        try await lines.ask(.get, "/search?q=lease", until: "working", of: "Elasticsearch", within: .seconds(90))
        #expect(try await lines.timed(.get, "/search?q=lease").status == 200)
      }
    }
  }

  @Test("the object store: contents wait, or are 503; documents go on") func objectStore() async throws {
    try await withLines { lines, id in
      try await lines.set("slow/s3/5")
      let slow = try await lines.timed(.get, "/documents/\(id)/content")
      #expect(slow.status == 200 && slow.time >= .seconds(5))
      #expect(try await lines.timed(.get, "/documents/\(id)").status == 200)
      try await lines.set("heal/s3")
      try await lines.set("refuse/s3")
      try await lines.ask(
        .get, "/documents/\(id)/content", until: "resting", of: "the object store", within: .seconds(60))
      #expect(try await lines.timed(.get, "/documents/\(id)/content").status == 503)
      #expect(try await lines.timed(.post, "/documents", #"{"title":"A","content":"text"}"#).status == 503)
      #expect(try await lines.timed(.get, "/documents/\(id)").status == 200)
      #expect(try await lines.timed(.post, "/documents", #"{"title":"Another"}"#).status == 201)
      #expect(try await lines.timed(.get, "/search?q=lease").status == 200)
      try await lines.set("heal/s3")
      try await lines.ask(
        .get, "/documents/\(id)/content", until: "working", of: "the object store", within: .seconds(90))
      #expect(try await lines.timed(.get, "/documents/\(id)/content").status == 200)
    }
  }

  @Test("the object store, while a view is built: it stands still, and goes on") func building() async throws {
    try await withLines { lines, _ in
      // Several texts: they are read together.
      for number in 0..<20 {
        let body = #"{"title":"Lease \#(number)","content":"text \#(number)"}"#
        #expect(try await lines.annals.send(.post, "/documents", body).status == 201)
      }
      try await eventually("all are found", on: lines.annals.reactor) {
        try await lines.annals.send(.get, "/search?q=lease").json["total"] == 21
      }
      try await lines.set("refuse/s3")
      // A process of its own: it has no texts in memory, and nobody else's calls.
      let path = ".stack/test/logs/\(Stack.uniqueName("rebuild")).log"
      let log = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
      let rebuild = try await ChildProcess.start(
        RunningAnnals.binary, ["rebuild", "document-search"], environment: lines.annals.environment, output: log,
        on: lines.annals.reactor)
      close(log)
      try await eventually("the object store is left alone", on: lines.annals.reactor) {
        try File.text(path, limit: 64 << 20).contains("left alone for a while")
      }
      try await lines.set("heal/s3")
      #expect(await rebuild.wait() == .exited(status: 0), "\(path)")
      #expect(try await lines.annals.send(.get, "/search?q=text").json["total"] == 20)
    }
  }

  @Test("Postgres: what views know is answered, the rest is 503 at once; slow, it is waited for")
  func postgres() async throws {
    try await withLines { lines, id in
      try await lines.set("slow/postgres/5")
      let slow = try await lines.timed(.post, "/documents", #"{"title":"Late"}"#)
      #expect(slow.status == 201 && slow.time >= .seconds(5))
      try await lines.set("heal/postgres")
      try await lines.set("refuse/postgres")
      let refused = try await lines.timed(.post, "/documents", #"{"title":"Never"}"#)
      #expect(refused.status == 503)
      #expect(try await lines.timed(.get, "/documents/\(id)/content").status == 503)
      #expect(try await lines.timed(.get, "/search?q=lease").status == 200)
      let known = try await lines.annals.send(.get, "/documents/\(id)")
      #expect(known.status == 200, "\(known.json)")
      #expect(try await lines.timed(.get, "/readyz").status == 503)
      #expect(try await lines.timed(.get, "/livez").status == 200)
      try await lines.set("heal/postgres")
      try await eventually("it is written", on: lines.annals.reactor) {
        try await lines.timed(.post, "/documents", #"{"title":"Again"}"#).status == 201
      }
    }
  }
}
