/// The body of a request. It can be read once, and is read only when the handler asks for it.
public struct RequestBody: Sendable {
  private enum Source {
    case bytes([UInt8])
    case connection(Exchange)
  }
  private let source: Source
  /// The declared length in bytes; nil: unknown until its end.
  public let length: Int?

  public static let empty = bytes([])

  /// A body without a connection: what tests of handlers need.
  public static func bytes(_ bytes: [UInt8]) -> RequestBody { RequestBody(.bytes(bytes), length: bytes.count) }

  private init(_ source: Source, length: Int?) { (self.source, self.length) = (source, length) }

  init(of exchange: Exchange, length: Int?) { self.init(.connection(exchange), length: length) }

  public var isEmpty: Bool { length == 0 }

  /// Reads the whole body into memory.
  ///
  /// - Throws: `Problem` 413 above `limit` bytes, 503 if the bodies in memory together are too large; `ClientGone`.
  public func bytes(upTo limit: Int) async throws -> [UInt8] {
    switch source {
    case .bytes(let bytes):
      guard bytes.count <= limit else { throw Upload.tooLarge(limit) }
      return bytes
    case .connection(let exchange):
      try await exchange.ask(.whole, upTo: limit)
      return try await exchange.nextPiece() ?? []
    }
  }

  /// Reads the body in pieces, as they arrive. While nothing is read, the client has to wait.
  ///
  /// - Throws: `Problem` 413 above `limit` bytes, here if the length is declared, else while reading.
  public func chunks(upTo limit: Int) async throws -> BodyChunks {
    switch source {
    case .bytes(let bytes):
      guard bytes.count <= limit else { throw Upload.tooLarge(limit) }
      return BodyChunks(.bytes(bytes))
    case .connection(let exchange):
      try await exchange.ask(.chunks, upTo: limit)
      return BodyChunks(.connection(exchange))
    }
  }

  /// Counts bytes of the body that a handler keeps in memory until its request has ended.
  ///
  /// - Throws: `Problem` 503 if the bodies in memory together are too large.
  public func reserve(_ count: Int) async throws {
    if case .connection(let exchange) = source { try await exchange.reserve(count) }
  }
}

/// A body in pieces. Reading throws `ClientGone`, or `Problem` 413.
public struct BodyChunks: Sendable, AsyncSequence {
  public typealias Element = [UInt8]
  enum Source {
    case bytes([UInt8])
    case connection(Exchange)
  }
  private let source: Source

  init(_ source: Source) { self.source = source }

  public struct Iterator: AsyncIteratorProtocol {
    private var source: Source?

    init(_ source: Source) { self.source = source }

    public mutating func next() async throws -> [UInt8]? {
      switch source {
      case nil: return nil
      case .bytes(let bytes):
        source = nil
        return bytes.isEmpty ? nil : bytes
      case .connection(let exchange): return try await exchange.nextPiece()
      }
    }
  }

  public func makeAsyncIterator() -> Iterator { Iterator(source) }
}

/// The client closed its connection before it received the answer.
public struct ClientGone: Error, CustomStringConvertible {
  public let description = "the client closed the connection"
}
