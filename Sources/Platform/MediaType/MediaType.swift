import CMagic
import Synchronization

/// Detects the media type of bytes from their content, with libmagic's database.
public final class MediaTypeDetector: Sendable {
  /// A libmagic cookie must not be used by two threads at once, so a mutex guards it.
  private struct Cookie: @unchecked Sendable {  // unchecked: reached through the mutex only
    let pointer: magic_t
  }
  private let cookie: Mutex<Cookie>

  public struct Failure: Error, CustomStringConvertible { public let description: String }

  public init() throws(Failure) {
    guard let pointer = magic_open(MAGIC_MIME_TYPE | MAGIC_MIME_ENCODING) else {
      throw Failure(description: "libmagic cannot be opened")
    }
    guard magic_load(pointer, nil) == 0 else {
      let problem = magic_error(pointer).map { String(cString: $0) } ?? "unknown"
      magic_close(pointer)
      throw Failure(description: "libmagic's database cannot be loaded (\(problem)): install libmagic-mgc")
    }
    cookie = Mutex(Cookie(pointer: pointer))
  }

  deinit { cookie.withLock { magic_close($0.pointer) } }

  /// Returns a type such as `text/plain; charset=us-ascii`, without a charset for binary data. Reads the first 64 KiB.
  public func detect(_ bytes: [UInt8]) -> String {
    cookie.withLock { cookie in
      bytes.withUnsafeBytes { buffer in
        guard let text = magic_buffer(cookie.pointer, buffer.baseAddress, min(buffer.count, 65_536)) else {
          return "application/octet-stream"
        }
        let found = String(cString: text)
        guard found.hasSuffix("; charset=binary") else { return found }
        return String(found.dropLast("; charset=binary".count))
      }
    }
  }
}
