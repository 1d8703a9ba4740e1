import Crypto
import EventStore
import HTTPClient
import Identifiers
import JSON
import Metrics
import Reactor
import S3
@testable import Services
import Support
import Testing
import Time

@Suite("Content", .serialized, .workLimit(minutes: 5)) struct ContentTests {
  /// Bytes whose places cannot be confused: the block's length is a prime.
  private func bytes(_ count: Int) -> [UInt8] {
    let block = (0..<4_099).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + block.count)
    while bytes.count < count { bytes += block }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  private func withContent(
    _ overrides: [String: String] = [:], _ body: @Sendable (RunningAnnals, S3Client) async throws -> Void
  ) async throws {
    let bucket = "content-\(UUID.version7())"
    try await withAnnals(["ANNALS_S3_BUCKET": bucket].merging(overrides) { $1 }) { annals in
      let s3 = S3Client(
        S3Options(endpoint: try Stack.s3, bucket: bucket, accessKey: "annals", secretKey: "annals-secret"),
        over: annals.client, watched: .ofStack("S3", on: annals.reactor))
      try await body(annals, s3)
    }
  }

  private func newDocument(_ annals: RunningAnnals) async throws -> String {
    try await annals.send(.post, "/v1/documents", #"{"title":"A"}"#).json["id"]?.string ?? ""
  }

  private func put(
    _ annals: RunningAnnals, _ id: String, _ content: [UInt8], headers: [(name: String, value: String)] = []
  ) async throws -> HTTPResponse {
    try await annals.client.send(
      HTTPRequest(
        .put, "\(annals.url)/v1/documents/\(id)/content", headers: [("Content-Type", "application/x-test")] + headers,
        body: content, timeout: .seconds(60)))
  }

  private func get(
    _ annals: RunningAnnals, _ id: String, headers: [(name: String, value: String)] = []
  ) async throws -> HTTPResponse {
    try await annals.client.send(
      HTTPRequest(
        .get, "\(annals.url)/v1/documents/\(id)/content", headers: headers, timeout: .seconds(60),
        maximumResponse: 1 << 30))
  }

  @Test("passes through both ways and is read in ranges, small and large")
  func ranges() async throws {
    try await withContent(["ANNALS_DOCUMENTS_MAX_CONTENT": "80MiB"]) { annals, _ in
      for size in [1, 300_000, 70 << 20] {
        let (id, content) = (try await newDocument(annals), bytes(size))
        let row = try await put(annals, id, content)
        #expect(row.status == 200)
        let hash = SHA256.hash(content).hexadecimal
        #expect(try JSONValue(parsing: row.body)["content_sha256"] == .string(hash))
        let whole = try await get(annals, id)
        #expect(whole.body == content)
        #expect(whole.header("etag") == "\"\(hash)\"" && whole.header("accept-ranges") == "bytes")
        let last = try await get(annals, id, headers: [("Range", "bytes=-1")])
        #expect(last.status == 206 && last.body == [content[size - 1]])
        #expect(last.header("content-range") == "bytes \(size - 1)-\(size - 1)/\(size)")
        let beyond = try await get(annals, id, headers: [("Range", "bytes=\(size)-")])
        #expect(beyond.status == 416 && beyond.header("content-range") == "bytes */\(size)")
        let known = try await get(annals, id, headers: [("If-None-Match", "\"x\", \"\(hash)\"")])
        #expect(known.status == 304 && known.body.isEmpty)
        for (condition, status) in [("\"\(hash)\"", 206), ("\"other\"", 200)] {
          let answer = try await get(annals, id, headers: [("Range", "bytes=0-0"), ("If-Range", condition)])
          #expect(answer.status == status)
        }
      }
      let tooLarge = try await put(annals, newDocument(annals), [UInt8](repeating: 1, count: (80 << 20) + 1))
      #expect(tooLarge.status == 413)
    }
  }

  @Test("comes in a form too, before or after the other parts; a form that is cut off stores nothing")
  func forms() async throws {
    try await withContent { annals, s3 in
      let content = bytes(12 << 20)
      func part(_ name: String, _ value: [UInt8]) -> [UInt8] {
        Array("--b\r\nContent-Disposition: form-data; name=\"\(name)\"; filename=\"f.bin\"\r\n\r\n".utf8) + value + [
          13, 10,
        ]
      }
      func post(_ body: [UInt8]) async throws -> HTTPResponse {
        try await annals.client.send(
          HTTPRequest(
            .post, annals.url + "/v1/documents", headers: [("Content-Type", "multipart/form-data; boundary=b")],
            body: body, timeout: .seconds(60)))
      }
      let end = Array("--b--\r\n".utf8)
      for body in [
        part("file", content) + part("title", Array("T".utf8)) + end,
        part("title", Array("T".utf8)) + part("content", content) + end,
      ] {
        let answer = try await post(body)
        #expect(answer.status == 201)
        let row = try JSONValue(parsing: answer.body)
        #expect(row["title"] == "T" && row["content_size"] == .integer(Int64(content.count)))
        #expect(try await get(annals, row["id"]?.string ?? "").body == content)
      }
      let before = try await s3.list("documents/").count
      #expect(before == 2)
      #expect(try await post(part("file", content)).status == 400)
      #expect(try await post(part("title", []) + end).status == 422)
      #expect(try await s3.list("documents/").count == before)
    }
  }

  @Test("is not stored for a command that is refused, and the same content again changes nothing")
  func refused() async throws {
    try await withContent { annals, s3 in
      let (id, content) = (try await newDocument(annals), bytes(400_000))
      #expect(try await put(annals, id, content, headers: [("If-Match", "\"7\"")]).status == 412)
      #expect(try await put(annals, UUID.version7().description, content).status == 404)
      #expect(try await s3.list("documents/").isEmpty)
      for _ in 0..<2 {
        let answer = try await put(annals, id, content)
        #expect(answer.header("etag") == "\"2\"")
      }
      #expect(try await s3.list("documents/").count == 1)
      let empty = try await annals.send(.post, "/v1/documents", #"{"title":"a\u0000b","content":"x"}"#)
      #expect(empty.status == 422)
      #expect(try await s3.list("documents/").count == 1)
      // Another document with the same content has an object of its own.
      #expect(try await put(annals, newDocument(annals), content).status == 200)
      #expect(try await s3.list("documents/").count == 2)
    }
  }

  @Test(
    "that the object store has lost is an error of the server, and is there again after the same content is sent again")
  func lost() async throws {
    try await withContent { annals, s3 in
      let (id, content) = (try await newDocument(annals), bytes(300_000))
      #expect(try await put(annals, id, content).status == 200)
      try await s3.delete(try await s3.list("documents/")[0].key)
      #expect(try await get(annals, id).status == 500)
      let repaired = try await put(annals, id, content)
      #expect(repaired.header("etag") == "\"3\"")
      #expect(try await get(annals, id).body == content)
      // Shorter than its event says: no answer pretends to be whole.
      try await s3.put(try await s3.list("documents/")[0].key, [1, 2, 3], contentType: "a/b")
      #expect(try await get(annals, id).status == 500)
    }
  }

  @Test("that was changed in the object store is not taken for whole")
  func tampered() async throws {
    try await withContent { annals, s3 in
      let (id, content) = (try await newDocument(annals), bytes(400_000))
      #expect(try await put(annals, id, content).status == 200)
      var changed = content
      changed[200_000] ^= 1
      try await s3.put(try await s3.list("documents/")[0].key, changed, contentType: "application/x-test")
      await #expect(throws: HTTPClientError.self) { try await get(annals, id) }
    }
  }

  @Test("without an event is swept up after a day, other content is not")
  func sweep() async throws {
    try await withContent { annals, s3 in
      let content = bytes(300_000)
      let id = try await newDocument(annals)
      // The first content is history: it stays readable.
      #expect(try await put(annals, id, content).status == 200)
      #expect(try await put(annals, id, bytes(300_001)).status == 200)
      let day = String(Timestamp.now().description.prefix(10))
      let named = Set(try await s3.list("documents/").map(\.key))
      for document in [id, UUID.version7().description] {
        try await s3.put("documents/\(day)/\(document)/orphan", [1], contentType: "a/b")
      }
      // A drawn signature belongs to the document's stream too.
      let signature =
        #"{"document_id":"\#(id)","signer_email":"a@b.example","signer_name":"A","signature_data":"AAAA"}"#
      #expect(try await annals.send(.post, "/signatures", signature).status == 201)
      // Refused: the same person again stores no image.
      #expect(try await annals.send(.post, "/signatures", signature.replacing("AAAA", with: "BBBB")).status == 409)
      let images = try await s3.list("signatures/").map(\.key)
      #expect(images.count == 1)
      try await s3.put("signatures/\(day)/\(id)/orphan", [1], contentType: "a/b")
      do {
        let store = EventStore(annals.pool)
        let sweep = ContentSweep(s3, of: [ContentStore.contents(store), SignatureImages.contents(store)])
        #expect(try await sweep.run(day: day, deletes: true).orphans.isEmpty, "too young")
        let later = Timestamp(microseconds: Timestamp.now().microseconds + 25 * 3_600 * 1_000_000)
        let found = try await sweep.run(day: day, now: later, deletes: false)
        #expect(found.objects == 6 && found.orphans.count == 3 && found.uploads == 0)
        let deleted = try await sweep.run(day: day, now: later, deletes: true)
        #expect(deleted.orphans == found.orphans)
      }
      #expect(Set(try await s3.list("documents/").map(\.key)) == named)
      #expect(try await s3.list("signatures/").map(\.key) == images)
      #expect(try await annals.output(of: RunningAnnals.binary, ["sweep"]).contains("0 without an event"))
    }
  }
}
