import Files
import Glibc
import HTTPClient
import Reactor
import Support
import Testing

@Suite("Secrets", .workLimit(minutes: 5)) struct SecretTests {
  /// Replaces the file at once, as secret stores do.
  private func write(_ text: String, to path: String) throws {
    let file = try #require(fopen(path + ".new", "w"))
    fputs(text, file)
    fclose(file)
    #expect(rename(path + ".new", path) == 0)
  }

  @Test("in files are taken while the program runs: a secret of tokens comes in beside the old one, which then goes")
  func reloading() async throws {
    let path = "\(Stack.temporaryFolder)/\(Stack.uniqueName("secret"))"
    let (old, new) = (
      "the old secret of the tests, of more than 32 bytes", "the new secret of the tests, of more than 32 bytes"
    )
    try write(old + "\n", to: path)
    defer { unlink(path) }
    try await withAnnals(["ANNALS_AUTH_MODE": "tokens", "ANNALS_AUTH_SECRET": "file:\(path)"]) { annals in
      func token() async throws -> String {
        let printed = try await annals.output(of: RunningAnnals.binary, ["token", "jane", "--role", "user"])
        return String(printed.split(separator: "\n").last ?? "")
      }
      func status(_ token: String) async throws -> Int {
        try await annals.send(
          .post, "/documents", #"{"title":"Lease"}"#, headers: [("Authorization", "Bearer \(token)")]
        ).status
      }
      let first = try await token()
      #expect(try await status(first) == 201)
      try write("\(new)\n\(old)\n", to: path)
      let second = try await token()
      try await eventually("the new one is taken", on: annals.reactor) { try await status(second) == 201 }
      #expect(try await status(first) == 201)
      // What is no secret leaves the last ones as they are, and is told of.
      for text in ["short\n", "\n"] {
        try write(text, to: path)
        try await eventually("it is told of", on: annals.reactor) {
          let ready = try await annals.client.send(HTTPRequest(.get, annals.operationsURL + "/readyz?verbose=1"))
          return String(decoding: ready.body, as: UTF8.self).contains("auth.secret: its file is not")
        }
        #expect(try await status(first) == 201)
      }
      try write(new, to: path)
      try await eventually("the old one is gone", on: annals.reactor) { try await status(first) == 401 }
      #expect(try await status(second) == 201)
    }
  }

  @Test("of databases too: whoever has waited for the right password goes on with it")
  func passwords() async throws {
    let pooler = try #require(Stack.pooler, "no PgBouncer")
    let path = "\(Stack.temporaryFolder)/\(Stack.uniqueName("secret"))"
    try write(pooler.replacing("annals:annals@", with: "annals:wrong@"), to: path)
    defer { unlink(path) }
    try await withAnnals(["ANNALS_POSTGRES_POOLER_URL": "file:\(path)", "ANNALS_POSTGRES_PREPARED_STATEMENTS": "false"])
    {
      annals in
      #expect(try await annals.send(.post, "/documents", #"{"title":"Lease"}"#).status == 503)
      let database = try #require(annals.environment["ANNALS_POSTGRES_URL"]?.split(separator: "/").last)
      try write(pooler.replacing(#//annals$/#, with: "/\(database)"), to: path)
      try await eventually("it writes", on: annals.reactor) {
        try await annals.send(.post, "/documents", #"{"title":"Lease"}"#).status == 201
      }
    }
  }

  @Test("are shown nowhere: not in logs, answers, metrics, errors, settings or checks; memory is not dumped")
  func planted() async throws {
    // Each so that something fails for it, and is told of.
    @Sendable func plant(_ name: String) -> String { "planted-\(name)-0123456789-abcdefghijklmnop" }
    let secrets = ["postgres", "redis", "elastic", "s3", "kafka", "auth", "tsa"].map(plant)
    let address = try Stack.postgres.split(separator: "@").last.map(String.init) ?? ""
    let settings = [
      "ANNALS_POSTGRES_URL": "postgresql://annals:\(secrets[0])@\(address.split(separator: "/")[0])/{database}",
      "ANNALS_REDIS_URL": try Stack.redis.replacing("redis://", with: "redis://:\(secrets[1])@"),
      "ANNALS_ELASTICSEARCH_URL": "http://annals:\(secrets[2])@127.0.0.1:1", "ANNALS_S3_SECRET_KEY": secrets[3],
      "ANNALS_KAFKA_SETTINGS": "sasl.password=\(secrets[4])", "ANNALS_AUTH_SECRET": secrets[5],
      "ANNALS_SIGNING_TSA_URL": "http://annals:\(secrets[6])@127.0.0.1:1/", "ANNALS_LOG_LEVEL": "debug",
      "ANNALS_PROJECTION_VIEWS": "",
    ]
    try await withAnnals(settings) { annals in
      var shown: [(place: String, text: String)] = []
      for (method, path, body) in [
        (HTTPRequest.Method.post, "/documents", #"{"title":"A","content":"text"}"#),
        (.post, "/documents", #"{"title":"A"}"#),
        (.get, "/search?q=a", nil), (.get, "/readyz?verbose=1", nil), (.get, "/openapi.json", nil),
        (.get, "/lists/counts", nil),
      ] {
        let answer = try await annals.send(method, path, body).response
        shown.append((path, String(decoding: answer.body, as: UTF8.self) + answer.headers.map { "\($0)" }.joined()))
      }
      for path in ["/metrics", "/readyz?verbose=1", "/admin/rebuilds"] {
        let answer = try await annals.client.send(HTTPRequest(.get, annals.operationsURL + path))
        shown.append((path, String(decoding: answer.body, as: UTF8.self)))
      }
      for command in ["settings", "doctor", "verify", "metrics"] {
        shown.append(
          (command, try await annals.output(of: "/bin/sh", ["-c", "\(RunningAnnals.binary) \(command) 2>&1"])))
      }
      let wrong = "\(RunningAnnals.binary) doctor --auth.secret \(plant("x").prefix(20)) 2>&1; true"
      shown.append(("an error", try await annals.output(of: "/bin/sh", ["-c", wrong])))
      #expect(shown.last?.text.contains("auth.secret") == true)
      shown.append(("the log", try File.text(annals.log, limit: 64 << 20)))
      #expect(shown.last?.text.contains("Elasticsearch at http://127.0.0.1:1 cannot be reached") == true)
      for (place, text) in shown {
        #expect(!text.isEmpty, "\(place)")
        // In base64 too, as it is sent: it always has the planted word in one of three forms.
        for form in ["planted-", "cGxhbnRlZC", "BsYW50ZWQt", "wbGFudGVkL"] where text.contains(form) {
          let at = text.firstRange(of: form).map { text[$0.lowerBound...].prefix(60) } ?? ""
          Issue.record("\(place) shows \(at)")
        }
      }
      for process in annals.processes {
        let limits = try File.text("/proc/\(process)/limits", limit: 1 << 16)
        #expect(limits.contains(#/Max core file size +1 +1/#))
      }
    }
  }
}
