import Files
import Glibc
import HTTPClient
import JSON
import Reactor
import Support
import Testing

@Suite("TLS", .workLimit(minutes: 5)) struct TLSTests {
  @Test("goes to Elasticsearch and the object store with an authority of one's own, and nowhere without it")
  func authority() async throws {
    try await withTLS { tls in
      let own = tls.environment.merging(["ANNALS_TLS_CA_FILE": tls.authority]) { $1 }
      try await withAnnals(own.merging(searching) { $1 }) { annals in
        let body = #"{"title":"Sealed letter","content":"text that is sent over TLS","content_type":"text/plain"}"#
        let made = try await annals.send(.post, "/documents", body)
        #expect(made.status == 201, "\(made.json)")
        let id = try #require(made.json["id"]?.string)
        let content = try await annals.send(.get, "/documents/\(id)/content")
        #expect(content.response.body == Array("text that is sent over TLS".utf8))
        try await eventually("it is found", on: annals.reactor) {
          try await annals.send(.get, "/search?q=sealed").json["total"] == 1
        }
      }
      let used = Set(
        try File.text("\(tls.folder)/connections", limit: 1 << 20).split(separator: "\n").map { String($0) })
      #expect(used == ["\(tls.search)", "\(tls.store)"])
      // Nobody else's word is taken.
      try await withAnnals(tls.environment.merging(["ANNALS_PROJECTION_VIEWS": ""]) { $1 }) { annals in
        let answer = try await annals.send(
          .post, "/documents", #"{"title":"Letter","content":"x","content_type":"text/plain"}"#)
        #expect(answer.status == 503, "\(answer.json)")
        // The log says why.
        #expect(try File.text(annals.log, limit: 64 << 20).contains("SSL peer certificate"))
      }
    }
  }

  private struct Servers: Sendable {
    let folder: String
    let search, store: Int
    var authority: String { "\(folder)/ca.pem" }
    var environment: [String: String] {
      [
        "ANNALS_ELASTICSEARCH_URL": "https://127.0.0.1:\(search)", "ANNALS_S3_ENDPOINT": "https://127.0.0.1:\(store)",
      ]
    }
  }

  private func withTLS(_ body: @Sendable (Servers) async throws -> Void) async throws {
    let folder = "\(Stack.temporaryFolder)/\(Stack.uniqueName("tls"))"
    mkdir(folder, 0o755)
    let tls = Servers(folder: folder, search: Stack.uniquePort(), store: Stack.uniquePort())
    @Sendable func port(_ url: String) throws -> String { String(try #require(url.split(separator: ":").last)) }
    try await withReactor { reactor in
      let output = open("\(folder)/output", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
      defer { close(output) }
      let child = try await ChildProcess.start(
        "/usr/bin/python3",
        [
          "Tests/Rig/tls.py", folder, "\(tls.search)=\(port(Stack.elasticsearch))", "\(tls.store)=\(port(Stack.s3))",
        ], environment: ["PATH": getenv("PATH").map { String(cString: $0) } ?? ""], output: output, on: reactor)
      let result: Result<Void, any Error>
      do {
        try await eventually("TLS is ready", on: reactor) {
          try File.text("\(folder)/output", limit: 1_000).contains("ready")
        }
        result = .success(try await body(tls))
      } catch { result = .failure(error) }
      await child.signal(SIGTERM)
      _ = await child.wait()
      try result.get()
    }
  }
}
