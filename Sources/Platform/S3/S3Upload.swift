import HTTPClient

/// An object that is being written, in pieces. It belongs to one task.
///
/// The object appears whole when `finish` returns, or not at all: `abort` removes what was sent. After a crash the parts
/// of an upload stay in the object store until `abortUploads` removes them.
///
/// With a known length the bytes pass through at once, in parts of `partSize`. Without one a part of `smallestPart` is
/// kept in memory, because the object store must be told its length first.
public final class S3Upload {
  /// Parts of an upload whose length is known, in bytes. They are large: the object store needs a while to end each one,
  /// and a part that passes through cannot be sent again anyway. S3 takes 5 GiB at most.
  static let partSize = 1 << 30
  /// The smallest part that S3 accepts, except for the last one.
  public static let smallestPart = 5 << 20
  /// S3's limit.
  static let maximumParts = 10_000

  private let client: S3Client
  private let key: String
  private let contentType: String
  private let length: Int?
  private var written = 0

  private var uploadID: String?
  /// The entity tags of the finished parts.
  private var parts: [String] = []
  /// The part that is being sent.
  private var stream: HTTPStream?
  private var chunks: SignedChunks?
  private var left = 0
  /// The part that is being collected.
  private var buffer: [[UInt8]] = []
  private var buffered = 0

  init(_ client: S3Client, key: String, contentType: String, length: Int?) {
    (self.client, self.key, self.contentType, self.length) = (client, key, contentType, length)
  }

  private var isSingle: Bool { length.map { $0 <= Self.partSize } ?? false }

  public func write(_ bytes: [UInt8]) async throws(S3Error) {
    written += bytes.count
    guard let length else { return try await collect(bytes) }
    guard written <= length else { throw .wrongLength(key: key, declared: length, written: written) }
    var rest = bytes[...]
    while !rest.isEmpty {
      if stream == nil {
        let sent = written - rest.count
        try await begin(length: isSingle ? length : min(partSize(for: length), length - sent))
      }
      let piece = rest.prefix(left)
      rest = rest.dropFirst(piece.count)
      left -= piece.count
      try await send(piece.count == bytes.count ? bytes : Array(piece))
      if left == 0 { try await endPart() }
    }
  }

  /// Completes the object.
  public func finish() async throws(S3Error) {
    if let length, written != length { throw .wrongLength(key: key, declared: length, written: written) }
    if length == nil {
      if uploadID == nil { return try await client.put(key, buffer.flatMap { $0 }, contentType: contentType) }
      if buffered > 0 { try await sendBuffer() }
    } else if length == 0 {
      return try await client.put(key, [], contentType: contentType)
    }
    if let uploadID { try await client.completeUpload(key, uploadID, parts) }
  }

  /// Gives the upload up. What cannot be removed now is removed later, by `abortUploads`.
  public func abort() async {
    stream?.cancel()
    stream = nil
    buffer = []
    guard let uploadID else { return }
    // A task of its own: the caller's may be cancelled, and would send nothing.
    await Task { [client, key] in try? await client.abortUpload(key, uploadID) }.value
  }

  // MARK: Parts

  /// Larger than usual only where S3's number of parts would not be enough.
  private func partSize(for length: Int) -> Int { max(Self.partSize, length / Self.maximumParts + 1) }

  private func begin(length: Int) async throws(S3Error) {
    var query: [(name: String, value: String)] = []
    if !isSingle { query = try await nextPart() }
    try await open(query, length: length)
  }

  private func nextPart() async throws(S3Error) -> [(name: String, value: String)] {
    if uploadID == nil { uploadID = try await client.createUpload(key, contentType: contentType) }
    return [("partNumber", "\(parts.count + 1)"), ("uploadId", uploadID ?? "")]
  }

  private func open(_ query: [(name: String, value: String)], length: Int) async throws(S3Error) {
    if query.isEmpty { try await client.requireBucket() }
    let (stream, signed) = await client.open(
      .put, key: key, query: query, length: length, headers: query.isEmpty ? [("Content-Type", contentType)] : [])
    (self.stream, chunks, left) = (stream, SignedChunks(signed), length)
  }

  private func send(_ bytes: [UInt8]) async throws(S3Error) {
    guard let stream, let framed = chunks?.add(bytes), !framed.isEmpty else { return }
    do {
      try await stream.write(framed)
      guard await stream.isAnswered else { return }
      throw client.refused("writing \(key)", try await stream.response())
    } catch let error as S3Error { throw error } catch let error as HTTPClientError {
      throw client.failed(error)
    } catch { throw .unusable(reason: "\(error)") }
  }

  private func endPart() async throws(S3Error) {
    guard let stream, let framed = chunks?.end() else { return }
    let response: HTTPResponse
    do {
      try await stream.write(framed)
      await stream.endBody()
      response = try await stream.response()
    } catch { throw client.failed(error) }
    self.stream = nil
    guard response.isSuccess else { throw client.refused("writing \(key)", response) }
    if !isSingle { parts.append(response.header("etag") ?? "") }
  }

  private func collect(_ bytes: [UInt8]) async throws(S3Error) {
    buffer.append(bytes)
    buffered += bytes.count
    if buffered >= Self.smallestPart { try await sendBuffer() }
  }

  /// Sends the collected part; again if that fails in a way that may pass.
  private func sendBuffer() async throws(S3Error) {
    let query = try await nextPart()
    try await client.retrying(isUnderWay: true) { () async throws(S3Error) in
      try await self.open(query, length: self.buffered)
      for piece in self.buffer { try await self.send(piece) }
      try await self.endPart()
    }
    (buffer, buffered) = ([], 0)
  }
}

extension S3Client {
  /// Begins to write an object.
  ///
  /// - Parameter length: In bytes; nil: unknown.
  public func write(_ key: String, contentType: String, length: Int?) -> S3Upload {
    S3Upload(self, key: key, contentType: contentType, length: length)
  }

  /// Creates the bucket if it is missing, so that a body that cannot be sent twice does not fail for it.
  func requireBucket() async throws(S3Error) {
    if try await !bucketExists() { try await createBucket() }
  }

  func createUpload(_ key: String, contentType: String) async throws(S3Error) -> String {
    let response = try await create(.post, key, query: [("uploads", "")], body: [], contentType: contentType)
    guard response.isSuccess, let id = XMLText(response.body).first("UploadId") else {
      throw refused("beginning the upload of \(key)", response)
    }
    return id
  }

  func completeUpload(_ key: String, _ id: String, _ tags: [String]) async throws(S3Error) {
    let parts = tags.enumerated().map { "<Part><PartNumber>\($0 + 1)</PartNumber><ETag>\($1)</ETag></Part>" }.joined()
    let body = "<CompleteMultipartUpload>\(parts)</CompleteMultipartUpload>"
    let response = try await send(.post, key: key, query: [("uploadId", id)], body: Array(body.utf8), isUnderWay: true)
    // An error may come with the status 200, after the server has kept the connection alive for a while.
    let text = String(decoding: response.body, as: UTF8.self)
    guard response.isSuccess, text.contains("<CompleteMultipartUploadResult"), !text.contains("<Error>") else {
      // A repeated request finds the upload gone if the first one had succeeded and its answer was lost.
      if response.status == 404, try await exists(key) { return }
      throw refused("completing \(key)", response)
    }
  }

  func abortUpload(_ key: String, _ id: String) async throws(S3Error) {
    let response = try await send(.delete, key: key, query: [("uploadId", id)], isUnderWay: true)
    guard response.isSuccess || response.status == 404 else { throw refused("aborting the upload of \(key)", response) }
  }
}
