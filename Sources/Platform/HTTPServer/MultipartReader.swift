import PercentCoding
import Glibc

/// Takes a multipart/form-data body apart while it arrives (RFC 7578; RFC 2046, section 5.1).
///
/// A pure parser: bytes go in by `feed`, events come out of `next`. It is strict: a body that two readers could take
/// apart in two ways is refused, and so is one that ends before its last boundary.
public struct MultipartReader {
  public enum Event: Equatable, Sendable {
    case part(PartHead)
    /// Bytes of the current part.
    case bytes([UInt8])
    /// The last boundary has come.
    case end
  }

  /// The head of one part.
  public struct PartHead: Equatable, Sendable {
    public let name: String
    public let filename: String?
    public let contentType: String?
  }

  /// The reason why a body is not a form.
  public struct Malformed: Error, Equatable, CustomStringConvertible {
    public let description: String
  }

  private enum State { case start, boundary, head, body, end }

  static let maximumParts = 64
  static let maximumHead = 8 << 10

  /// Line end, two hyphens and the boundary.
  private let delimiter: [UInt8]
  private var buffer: [UInt8] = [13, 10]
  private var index = 0
  /// No head ends before this index.
  private var searched = 0
  private var state = State.start
  private var parts = 0
  private var isFinished = false

  /// - Parameter contentType: The header of the body. nil is returned if it is not a form's.
  public init?(contentType: String) throws(Malformed) {
    let fields = contentType.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false)
    guard fields[0].trimmed.lowercased() == "multipart/form-data" else { return nil }
    let parameters = try HeaderParameters(fields.count == 2 ? fields[1] : "")
    guard let boundary = parameters["boundary"], (1...70).contains(boundary.utf8.count),
      boundary.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }), boundary.utf8.last != 0x20
    else { throw Malformed(description: "the boundary in Content-Type needs 1 to 70 printable characters") }
    delimiter = Array("\r\n--\(boundary)".utf8)
  }

  public mutating func feed(_ bytes: [UInt8]) {
    if index > 0 {
      buffer.removeFirst(index)
      searched = max(0, searched - index)
      index = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The body has ended: no more bytes come.
  public mutating func finish() { isFinished = true }

  /// The next event; nil: more bytes are needed.
  public mutating func next() throws(Malformed) -> Event? {
    while true {
      switch state {
      case .start:
        guard let found = try skipped(delimiter, "the form does not begin with its boundary") else { return nil }
        guard found else { throw Malformed(description: "the form does not begin with its boundary") }
        state = .boundary
      case .boundary:
        guard let isLast = try boundaryEnd() else { return nil }
        if isLast {
          state = .end
          return .end
        }
        state = .head
      case .head:
        guard let head = try head() else { return nil }
        parts += 1
        guard parts <= Self.maximumParts else {
          throw Malformed(description: "a form has at most \(Self.maximumParts) parts")
        }
        state = .body
        return .part(head)
      case .body: return try body()
      case .end:
        index = buffer.count  // an epilogue says nothing
        return nil
      }
    }
  }

  /// True: the text is here and skipped; false: another one is here; nil: more bytes are needed.
  private mutating func skipped(_ text: [UInt8], _ what: String) throws(Malformed) -> Bool? {
    let here = buffer[index...].prefix(text.count)
    guard here.elementsEqual(text.prefix(here.count)) else { return false }
    guard here.count == text.count else { return try needMore() }
    index += text.count
    return true
  }

  private func needMore<T>() throws(Malformed) -> T? {
    if isFinished { throw Malformed(description: "the form ends before its last boundary") }
    return nil
  }

  /// Behind a boundary: the two hyphens of the last one, or blanks and a line end.
  private mutating func boundaryEnd() throws(Malformed) -> Bool? {
    var end = index
    while end < buffer.count, buffer[end] == 0x20 || buffer[end] == 0x09 { end += 1 }
    guard end - index <= 64 else { throw Malformed(description: "a boundary is followed by too many blanks") }
    guard end + 2 <= buffer.count else { return try needMore() }
    if end == index, buffer[end] == UInt8(ascii: "-"), buffer[end + 1] == UInt8(ascii: "-") {
      index = end + 2
      return true
    }
    guard buffer[end] == 13, buffer[end + 1] == 10 else {
      throw Malformed(description: "a boundary is not followed by a line end")
    }
    index = end + 2
    return false
  }

  private mutating func head() throws(Malformed) -> PartHead? {
    // Looked at once: a head that comes byte by byte is not searched from its beginning each time.
    var end = max(index, searched)
    while end < buffer.count, !isHeadEnd(end) { end += 1 }
    guard min(end, buffer.count) - index <= Self.maximumHead else {
      throw Malformed(description: "the head of a part is longer than \(Self.maximumHead) bytes")
    }
    guard end < buffer.count else {
      searched = max(index, buffer.count - 3)
      return try needMore()
    }
    var lines: [(name: String, value: String)] = []
    var rest = buffer[index..<end]
    index = end + (end == index ? 2 : 4)
    searched = 0
    while !rest.isEmpty {
      // A bare LF or CR is no line end, and no header has one.
      let line = rest.prefix { $0 != 13 }
      rest = rest.dropFirst(line.count + 2)
      guard let text = String(validating: line, as: UTF8.self), let colon = text.utf8.firstIndex(of: UInt8(ascii: ":"))
      else { throw Malformed(description: "a header of a part is malformed") }
      let (name, value) = (String(text[..<colon]), String(text[text.utf8.index(after: colon)...].trimmed))
      guard Headers.isSound(name, value) else { throw Malformed(description: "a header of a part is malformed") }
      lines.append((name, value))
    }
    return try PartHead(lines)
  }

  /// True where an empty line ends the head: two line ends, or one right at its beginning.
  private func isHeadEnd(_ at: Int) -> Bool {
    func lineEnds(_ at: Int) -> Bool { at + 1 < buffer.count && buffer[at] == 13 && buffer[at + 1] == 10 }
    return lineEnds(at) && (at == index || lineEnds(at + 2))
  }

  private mutating func body() throws(Malformed) -> Event? {
    // The place from which a boundary may begin; whole if `isFound`.
    let (end, isFound) = boundary(from: index)
    if isFound, end == index {
      index += delimiter.count
      state = .boundary
      return try next()
    }
    guard end > index else { return try needMore() }
    let piece = Array(buffer[index..<end])
    index = end
    return .bytes(piece)
  }

  /// The first place that begins the delimiter, whole or cut off by the end of the buffer; else the buffer's end.
  private func boundary(from start: Int) -> (Int, isFound: Bool) {
    buffer.withUnsafeBytes { bytes in
      delimiter.withUnsafeBytes { delimiter in
        var at = start
        while at < bytes.count, let found = memchr(bytes.baseAddress! + at, 13, bytes.count - at) {
          at = UnsafeRawPointer(found) - bytes.baseAddress!
          let here = min(delimiter.count, bytes.count - at)
          if memcmp(bytes.baseAddress! + at, delimiter.baseAddress!, here) == 0 { return (at, here == delimiter.count) }
          at += 1
        }
        return (bytes.count, false)
      }
    }
  }
}

extension MultipartReader.PartHead {
  fileprivate init(_ lines: [(name: String, value: String)]) throws(MultipartReader.Malformed) {
    let headers = Headers(lines)
    guard let disposition = headers["Content-Disposition"], headers.count(of: "Content-Disposition") == 1 else {
      throw MultipartReader.Malformed(description: "a part needs one Content-Disposition header")
    }
    let fields = disposition.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false)
    guard fields[0].trimmed.lowercased() == "form-data", fields.count == 2 else {
      throw MultipartReader.Malformed(description: "Content-Disposition of a part must be form-data with a name")
    }
    let parameters = try HeaderParameters(fields[1])
    guard let name = parameters["name"] else { throw MultipartReader.Malformed(description: "a part has no name") }
    if let encoding = headers["Content-Transfer-Encoding"]?.lowercased(),
      !["7bit", "8bit", "binary"].contains(encoding)
    {
      throw MultipartReader.Malformed(description: "Content-Transfer-Encoding of a part must be binary")
    }
    (self.name, filename) = (name, parameters.extended("filename") ?? parameters["filename"])
    contentType = headers["Content-Type"]
  }
}

/// Parameters of a header: `; name="value"; other=token`. A name that is given twice is refused.
private struct HeaderParameters {
  private static let maximum = 16
  private var values: [(name: String, value: String)] = []

  init(_ text: Substring) throws(MultipartReader.Malformed) {
    var rest = text.utf8[...]
    func skipBlanks() { while let byte = rest.first, byte == 0x20 || byte == 0x09 { rest.removeFirst() } }
    while true {
      skipBlanks()
      if rest.first == UInt8(ascii: ";") {
        rest.removeFirst()
        continue
      }
      guard !rest.isEmpty else { return }
      let name = rest.prefix { $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: ";") }
      rest = rest.dropFirst(name.count)
      guard rest.popFirst() == UInt8(ascii: "="), let key = String(name)?.trimmedText.lowercased(), !key.isEmpty else {
        throw MultipartReader.Malformed(description: "a parameter of a header is malformed")
      }
      var value: [UInt8] = []
      if rest.first == UInt8(ascii: "\"") {
        rest.removeFirst()
        var isClosed = false
        while let byte = rest.popFirst() {
          if byte == UInt8(ascii: "\"") {
            isClosed = true
            break
          }
          // Only these two are escaped: the backslashes of a path stay.
          if byte == UInt8(ascii: "\\"), let next = rest.first, next == UInt8(ascii: "\"") || next == byte {
            rest.removeFirst()
            value.append(next)
          } else {
            value.append(byte)
          }
        }
        skipBlanks()
        guard isClosed, rest.isEmpty || rest.first == UInt8(ascii: ";") else {
          throw MultipartReader.Malformed(description: "a quoted parameter of a header is malformed")
        }
      } else {
        let token = rest.prefix { $0 != UInt8(ascii: ";") }
        rest = rest.dropFirst(token.count)
        value = Array(token)
        while value.last == 0x20 || value.last == 0x09 { value.removeLast() }
      }
      guard values.count < Self.maximum else {
        throw MultipartReader.Malformed(description: "a header has more than \(Self.maximum) parameters")
      }
      guard !values.contains(where: { $0.name == key }), let text = String(validating: value, as: UTF8.self) else {
        throw MultipartReader.Malformed(description: "the parameter \(key.prefix(40)) is given twice, or is not UTF-8")
      }
      values.append((key, text))
    }
  }

  subscript(_ name: String) -> String? { values.first { $0.name == name }?.value }

  /// `name*=UTF-8''text` of RFC 8187, percent-decoded.
  func extended(_ name: String) -> String? {
    guard let value = self[name + "*"] else { return nil }
    let parts = value.split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].lowercased() == "utf-8" else { return nil }
    return PercentCoding.decoded(parts[2].utf8, plusIsSpace: false)
  }
}

extension Substring.UTF8View {
  fileprivate mutating func popFirst() -> UInt8? { isEmpty ? nil : removeFirst() }
}

extension StringProtocol where SubSequence == Substring {
  /// Without blanks at both ends.
  fileprivate var trimmed: Substring {
    var bytes = self[...].utf8
    while let first = bytes.first, first == 0x20 || first == 0x09 { bytes.removeFirst() }
    while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
    return Substring(bytes)
  }
  fileprivate var trimmedText: String { String(trimmed) }
}
