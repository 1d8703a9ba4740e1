import Glibc

/// Reads files of the local file system. The calls block: use them at start, in commands, or off a loop.
public enum File {
  /// - Parameter limit: The most bytes that are accepted.
  public static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
    guard let file = fopen(path, "rb") else { throw FileError(path: path, reason: String(cString: strerror(errno))) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
      bytes += buffer[..<count]
      guard bytes.count <= limit else { throw FileError(path: path, reason: "more than \(limit) bytes") }
    }
    guard ferror(file) == 0 else { throw FileError(path: path, reason: String(cString: strerror(errno))) }
    return bytes
  }

  /// The file as text. Bytes that are not UTF-8 become replacement characters.
  public static func text(_ path: String, limit: Int) throws(FileError) -> String {
    String(decoding: try read(path, limit: limit), as: UTF8.self)
  }
}

/// A file that cannot be read.
public struct FileError: Error, Equatable, Sendable, CustomStringConvertible {
  public let path: String
  public let reason: String
  public var description: String { "\(path) cannot be read: \(reason)" }
}
