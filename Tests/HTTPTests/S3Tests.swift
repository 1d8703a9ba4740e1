import Crypto
import HTTPClient
import Metrics
import S3
import Support
import Testing
import Time

/// Lends a client of a bucket that does not exist yet.
private func withBucket(_ body: @Sendable (S3Client) async throws -> Void) async throws {
  try await withReactor { reactor in
    let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
    let name = Stack.uniqueName("bucket").lowercased().split(separator: "_").joined(separator: "-")
    let options = S3Options(
      endpoint: try Stack.s3, bucket: name, accessKey: "annals", secretKey: "annals-secret")
    let result: Result<Void, any Error>
    do {
      result = .success(try await body(S3Client(options, over: client, watched: .ofStack("S3", on: reactor))))
    } catch { result = .failure(error) }
    await client.close()
    try result.get()
  }
}

@Suite("The object store", .workLimit(minutes: 5)) struct S3Tests {
  @Test("keeps and returns objects under any name")
  func objects() async throws {
    try await withBucket { s3 in
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
    }
  }

  @Test("takes an object in parts of unknown number, in one piece of a known length, or not at all")
  func uploads() async throws {
    try await withBucket { s3 in
      let piece = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      for (count, length) in [(0, nil), (0, 0), (1, nil), (1, piece.count), (12, nil), (12, 12 * piece.count)] {
        let upload = s3.write("object", contentType: "a/b", length: length)
        for _ in 0..<count { try await upload.write(piece) }
        try await upload.finish()
        let download = try await s3.read("object")
        var read: [UInt8] = []
        while let bytes = try await download.next() { read += bytes }
        #expect(read == (0..<count).flatMap { _ in piece }, "\(count) \(length ?? -1)")
      }
      // Neither an aborted upload nor one of the wrong length leaves an object; parts of a crash are swept up.
      for length in [nil, 12 * piece.count] {
        let upload = s3.write("none", contentType: "a/b", length: length)
        for _ in 0..<11 { try await upload.write(piece) }
        if length != nil { await #expect(throws: S3Error.self) { try await upload.finish() } }
        await upload.abort()
        #expect(try await !s3.exists("none"))
      }
      let crashed = s3.write("none", contentType: "a/b", length: nil)
      for _ in 0..<6 { try await crashed.write(piece) }
      let now = Timestamp.now()
      #expect(try await s3.abortUploads("none", before: Timestamp(microseconds: now.microseconds - 60_000_000)) == 0)
      #expect(try await s3.abortUploads("none", before: Timestamp(microseconds: now.microseconds + 60_000_000)) == 1)
      await #expect(throws: S3Error.self) { try await crashed.finish() }
    }
  }

  @Test("lists objects in pages")
  func listing() async throws {
    try await withBucket { s3 in
      #expect(try await s3.list("a/").isEmpty)
      for key in ["a/1", "a/2", "a/3", "b/1"] { try await s3.put(key, [1], contentType: "a/b") }
      let page = try await s3.list("a/")
      #expect(page.map(\.key) == ["a/1", "a/2", "a/3"])
      #expect(page.allSatisfy { abs($0.at.microseconds - Timestamp.now().microseconds) < 60_000_000 })
      #expect(try await s3.list("a/", after: "a/2").map(\.key) == ["a/3"])
    }
  }

  @Test("refuses a wrong key, and an unreachable one is named")
  func errors() async throws {
    try await withReactor { reactor in
      let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
      func s3(_ endpoint: String, _ secret: String) -> S3Client {
        S3Client(
          S3Options(endpoint: endpoint, bucket: "annals-none", accessKey: "annals", secretKey: secret), over: client,
          watched: .ofStack("S3", on: reactor))
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

@Suite("Hashes", .workLimit(minutes: 5)) struct DigestTests {
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
