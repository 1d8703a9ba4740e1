import Crypto
import Domain
import HTTPServer
import Logging
import S3

/// A content as the answer to a request: whole or a range of it, with conditions (RFC 9110, sections 13 and 14).
struct ContentAnswer: Sendable {
  let contents: ContentStore
  let logger: Logger

  func answer(_ request: Request, _ content: DocumentContent) async throws -> Response {
    let tag = "\"\(content.hash)\""
    // A browser must never run uploaded content as a page of this origin.
    let headers: [(name: String, value: String)] = [
      ("Content-Type", content.type), ("X-Content-Type-Options", "nosniff"), ("Content-Disposition", "attachment"),
      ("Accept-Ranges", "bytes"), ("ETag", tag),
    ]
    if let known = request.headers["If-None-Match"], ByteRange.matches(known, tag) {
      // As in the answer to HEAD: the length is the content's.
      return Response(304, headers: [("ETag", tag)], body: .stream(length: Int(content.size)) { _ in })
    }
    // A range is defined for GET alone.
    let asked =
      request.method == .get ? ByteRange.asked(by: request.headers, tag: tag, size: Int(content.size)) : .all
    switch asked {
    case .all: return try await answer(request, 200, headers, content, nil)
    case .some(let range):
      let place = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(content.size)"
      return try await answer(request, 206, headers + [("Content-Range", place)], content, range)
    case .none:
      throw Problem(
        416, "Range not satisfiable", detail: "the content has \(content.size) bytes", field: "Range",
        headers: [("Content-Range", "bytes */\(content.size)")])
    }
  }

  private func answer(
    _ request: Request, _ status: Int, _ headers: [(name: String, value: String)], _ content: DocumentContent,
    _ range: Range<Int>?
  ) async throws -> Response {
    let length = range?.count ?? Int(content.size)
    // Opened before the answer: a missing object must not be answered with 200.
    let download = request.method == .head || length == 0 ? nil : try await contents.read(content, range: range)
    return Response(
      status, headers: headers,
      body: .stream(length: length) { [logger] body in
        guard let download else { return }
        do { try await Self.pass(download, to: body, hash: range == nil ? content.hash : nil) } catch
          where
          !(error is ClientGone) && !Task.isCancelled
        {
          // The status is sent already: the connection is cut, so that the client does not take the content for whole.
          logger.error("The content ends too early", metadata: ["key": content.key, .error: "\(error)"])
          throw error
        }
      })
  }

  private struct ContentChanged: Error, CustomStringConvertible {
    let description = "the object store's content does not have the hash that its event names"
  }

  /// - Parameter hash: Expected of all bytes; nil: not checked. The last bytes are sent after the comparison.
  private static func pass(_ download: S3Download, to body: BodyWriter, hash expected: String?) async throws {
    let hash = SHA256.Running()
    var last: [UInt8] = []
    while let piece = try await download.next() {
      if expected != nil { hash.update(piece) }
      try await body.write(last)
      last = piece
    }
    if let expected, hash.finish().hexadecimal != expected { throw ContentChanged() }
    try await body.write(last)
  }
}
