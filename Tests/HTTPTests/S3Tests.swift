import Crypto
import HTTPClient
import Metrics
import S3
import Support
import Testing

@Suite("The object store", .timeLimit(.minutes(5))) struct S3Tests {
  @Test("keeps and returns objects under any name")
  func objects() async throws {
    try await withReactor { reactor in
      let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
      let s3 = S3Client(
        S3Options(
          endpoint: try Stack.s3,
          bucket: Stack.uniqueName("bucket").lowercased().split(separator: "_").joined(separator: "-"),
          accessKey: "annals", secretKey: "annals-secret"), over: client)
      #expect(try await !s3.bucketExists())
      try await s3.put("first", [1], contentType: "text/plain")
      try await s3.createBucket()
      #expect(try await s3.bucketExists())
      for key in ["a", "folder/with blank+plus/é.txt", "sha256/ab"] {
        let body = Array("content of \(key)".utf8)
        try await s3.put(key, body, contentType: "text/plain")
        #expect(try await s3.get(key) == body)
        #expect(try await s3.exists(key))
      }
      await #expect(throws: S3Error.notFound(key: "none")) { try await s3.get("none") }
      #expect(try await !s3.exists("none"))
      await client.close()
    }
  }

  @Test("refuses a wrong key, and an unreachable one is named")
  func errors() async throws {
    try await withReactor { reactor in
      let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
      func s3(_ endpoint: String, _ secret: String) -> S3Client {
        S3Client(
          S3Options(endpoint: endpoint, bucket: "annals-none", accessKey: "annals", secretKey: secret), over: client)
      }
      await #expect(throws: S3Error.self) { try await s3(try Stack.s3, "wrong").put("k", [1], contentType: "a/b") }
      do {
        _ = try await s3("http://127.0.0.1:1", "x").get("k")
        Issue.record("read from nothing")
      } catch { #expect("\(error)".contains("ANNALS_S3_ENDPOINT")) }
      await client.close()
    }
  }
}

@Suite("Hashes", .timeLimit(.minutes(5))) struct DigestTests {
  @Test("are those of the standards")
  func vectors() {
    // FIPS 180-4's example and RFC 4231's test case 2.
    #expect(
      SHA256.hash(Array("abc".utf8)).hexadecimal
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      SHA256.authenticationCode(of: Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8)).hexadecimal
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
  }
}
