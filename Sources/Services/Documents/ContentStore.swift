import Crypto
import Domain
import EventStore
import HTTPServer
import Identifiers
import MediaType
import Reactor
import S3
import Time

/// The contents of documents in the object store.
///
/// Each upload has a key of its own, below its day and its document: `documents/2026-11-24/<document>/<upload>`. So an
/// object is written once and named by the events of one stream, and an object that no event names can be deleted
/// without looking at the rest of the log (decision 0009).
struct ContentStore: Sendable {
  private let objects: S3Client
  private let detector: MediaTypeDetector
  /// Largest content, in bytes.
  let maximum: Int

  /// Content up to this size is kept in memory and written by one request, which can be repeated. Larger content passes
  /// through.
  static let smallContent = 256 << 10
  static let prefix = "documents"
  /// Well below the age from which on the sweep deletes content without an event.
  static let longestUpload = Duration.seconds(12 * 3_600)

  init(_ objects: S3Client, detector: MediaTypeDetector, maximum: Int) {
    (self.objects, self.detector, self.maximum) = (objects, detector, maximum)
  }

  /// What the events of documents name.
  static func contents(_ store: EventStore) -> StoredContents {
    let documents = AggregateStore<Document>(store)
    return StoredContents(prefix: prefix) { id in
      var keys: Set<String> = []
      for try await page in documents.history(of: id) {
        for step in page { if let key = step.after?.content?.key { keys.insert(key) } }
      }
      return keys
    }
  }

  // MARK: Writing

  /// Stores content that is in memory.
  func store(_ bytes: [UInt8], of document: UUID, type: String?) async throws -> DocumentContent {
    guard bytes.count <= maximum else { throw tooLarge }
    // Large content is hashed off the loop: a megabyte takes most of a millisecond.
    let hash = bytes.count < 65_536 ? SHA256.hash(bytes) : await Reactor.offLoop { SHA256.hash(bytes) }
    let type = await self.type(of: bytes, type)
    let key = Self.key(of: document)
    try await objects.put(key, bytes, contentType: type)
    return DocumentContent(type: type, size: Int64(bytes.count), key: key, hash: hash.hexadecimal)
  }

  /// Stores content while it arrives.
  ///
  /// - Parameters:
  ///   - length: The declared length; nil: unknown.
  ///   - body: The request's body, for the memory that is needed.
  ///   - next: The next bytes; nil at the end.
  func store(
    of document: UUID, type: String?, length: Int?, body: RequestBody, next: () async throws -> [UInt8]?
  ) async throws -> DocumentContent {
    var beginning: [UInt8] = []
    var isComplete = false
    while beginning.count <= Self.smallContent, !isComplete {
      if let piece = try await next() {
        try await body.reserve(piece.count)
        beginning += piece
      } else {
        isComplete = true
      }
    }
    if isComplete { return try await store(beginning, of: document, type: type) }
    // Without a length the object store's client collects parts.
    if length == nil { try await body.reserve(S3Upload.smallestPart) }
    return try await pass(beginning, of: document, type: type, length: length, next: next)
  }

  private func pass(
    _ beginning: [UInt8], of document: UUID, type: String?, length: Int?, next: () async throws -> [UInt8]?
  ) async throws -> DocumentContent {
    let type = await self.type(of: beginning, type)
    let key = Self.key(of: document)
    let upload = objects.write(key, contentType: type, length: length)
    let hash = SHA256.Running()
    let start = ContinuousClock.now
    var size = 0
    do {
      var piece: [UInt8]? = beginning
      while let bytes = piece {
        size += bytes.count
        guard size <= maximum else { throw tooLarge }
        guard .now - start < Self.longestUpload else {
          throw Problem(408, "Request timeout", detail: "content may take \(Self.longestUpload) to arrive")
        }
        hash.update(bytes)
        try await upload.write(bytes)
        piece = try await next()
      }
      try await upload.finish()
    } catch {
      await upload.abort()
      throw error
    }
    return DocumentContent(type: type, size: Int64(size), key: key, hash: hash.finish().hexadecimal)
  }

  var tooLarge: Problem {
    Problem(413, "Content too large", detail: "content has at most \(maximum) bytes", field: "/content")
  }

  /// Off the loop: libmagic may take milliseconds.
  private func type(of bytes: [UInt8], _ given: String?) async -> String {
    if let given { return given }
    return await Reactor.offLoop { [detector] in detector.detect(bytes) }
  }

  private static func key(of document: UUID) -> String {
    StoredContents.key(prefix, of: document.description, name: UUID.version7().description)
  }

  /// Deletes content that no event names and none will name: its command was refused. What cannot be deleted now is left
  /// to the sweep.
  func discard(_ content: DocumentContent) async {
    // A task of its own: the caller's may be cancelled, and would send nothing.
    await Task { [objects] in try? await objects.delete(content.key) }.value
  }

  // MARK: Reading

  /// Begins to read content, or some of its bytes.
  ///
  /// - Throws: `ContentDamaged` if the object has another length than the event names.
  func read(_ content: DocumentContent, range: Range<Int>? = nil) async throws -> S3Download {
    let download = try await objects.read(content.key, range: range)
    let expected = range?.count ?? Int(content.size)
    guard download.length == expected else {
      throw ContentDamaged(key: content.key, expected: expected, found: download.length)
    }
    return download
  }

  /// True if the object is there with its length.
  func isThere(_ content: DocumentContent) async throws -> Bool {
    do {
      _ = try await read(content)
      return true
    } catch is ContentDamaged { return false } catch S3Error.notFound { return false }
  }
}

/// An object is not what its event names.
struct ContentDamaged: Error, CustomStringConvertible {
  let key: String
  let expected: Int
  let found: Int?
  var description: String {
    "the object \(key) has \(found.map { "\($0)" } ?? "an unknown number of") bytes, its event names \(expected)"
  }
}
