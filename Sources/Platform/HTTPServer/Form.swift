/// The form in a request's body, part by part as it arrives.
///
/// It belongs to one task. `nextPart` skips what was not read of the part before.
public final class Form {
  private static let maximumEpilogue = 64 << 10

  private var reader: MultipartReader
  private var chunks: BodyChunks.Iterator
  private var pending: MultipartReader.Event?
  private var hasEnded = false

  /// - Returns: nil if the body is not a form.
  /// - Throws: `Problem` 400 if the boundary is malformed, 413 if the declared length is above the limit.
  public init?(_ request: Request, upTo limit: Int) async throws {
    do {
      guard let type = request.headers["Content-Type"], let reader = try MultipartReader(contentType: type) else {
        return nil
      }
      self.reader = reader
    } catch { throw Self.problem(error) }
    chunks = try await request.body.chunks(upTo: limit).makeAsyncIterator()
  }

  /// The head of the next part; nil at the end of the form.
  public func nextPart() async throws -> MultipartReader.PartHead? {
    while let event = try await next() {
      if case .part(let head) = event { return head }
    }
    return nil
  }

  /// The next bytes of the current part; nil at its end.
  public func nextBytes() async throws -> [UInt8]? {
    guard let event = try await next() else { return nil }
    if case .bytes(let bytes) = event { return bytes }
    pending = event
    return nil
  }

  /// Reads the rest of the current part into memory.
  ///
  /// - Throws: `Problem` 413 above `limit` bytes.
  public func bytes(upTo limit: Int) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while let piece = try await nextBytes() {
      guard bytes.count + piece.count <= limit else {
        throw Problem(413, "Content too large", detail: "this part of the form may have at most \(limit) bytes")
      }
      bytes += piece
    }
    return bytes
  }

  private func next() async throws -> MultipartReader.Event? {
    if let event = pending {
      pending = nil
      return event
    }
    while !hasEnded {
      let event: MultipartReader.Event?
      do { event = try reader.next() } catch { throw Self.problem(error) }
      switch event {
      case .end: hasEnded = true
      case let event?: return event
      case nil:
        if let chunk = try await chunks.next() { reader.feed(chunk) } else { reader.finish() }
      }
    }
    // The rest of the body says nothing.
    var rest = 0
    while let chunk = try await chunks.next() {
      rest += chunk.count
      guard rest <= Self.maximumEpilogue else {
        throw Self.problem(.init(description: "more than \(Self.maximumEpilogue) bytes follow its last boundary"))
      }
    }
    return nil
  }

  private static func problem(_ error: MultipartReader.Malformed) -> Problem {
    Problem(400, "Malformed form", detail: "\(error)", field: "Content-Type")
  }
}
