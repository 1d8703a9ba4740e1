import HTTPClient

/// An object that is being read, in pieces. It belongs to one task; one that is dropped ends the transfer.
public final class S3Download: Sendable {
  /// The bytes that come.
  public let length: Int?
  private let stream: HTTPStream
  private let client: S3Client

  init(_ stream: HTTPStream, length: Int?, client: S3Client) {
    (self.stream, self.length, self.client) = (stream, length, client)
  }

  /// The next bytes; nil at the end.
  public func next() async throws(S3Error) -> [UInt8]? {
    do { return try await stream.next() } catch { throw client.failed(error) }
  }
}

extension S3Client {
  /// Begins to read an object, or some of its bytes.
  public func read(_ key: String, range: Range<Int>? = nil) async throws(S3Error) -> S3Download {
    // Until its first byte.
    try await watched { () async throws(S3Error) in try await begin(key, range) }
  }

  private func begin(_ key: String, _ range: Range<Int>?) async throws(S3Error) -> S3Download {
    let headers = range.map { [(name: "Range", value: "bytes=\($0.lowerBound)-\($0.upperBound - 1)")] } ?? []
    let (stream, _) = await open(.get, key: key, headers: headers)
    do {
      let head = try await stream.head()
      if head.status == 404 { throw S3Error.notFound(key: key) }
      // Some servers answer a range with 200 and Content-Range.
      let isRange = head.header("content-range") != nil
      guard head.isSuccess, isRange == (range != nil) else {
        throw refused("reading \(key)", try await stream.response())
      }
      return S3Download(stream, length: head.header("content-length").flatMap { Int($0) }, client: self)
    } catch let error as S3Error { throw error } catch let error as HTTPClientError { throw failed(error) } catch {
      throw .unreachable(endpoint: endpoint, reason: "\(error)")
    }
  }
}
