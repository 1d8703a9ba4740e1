import HTTPServer

/// The range of a content that a request asks for (RFC 9110, section 14).
enum ByteRange: Equatable {
  /// The whole content: no range was asked for, or the header says nothing that can be used.
  case all
  case some(Range<Int>)
  /// The content has no such range.
  case none

  /// - Parameters:
  ///   - tag: The content's entity tag, quoted. `If-Range` with another one asks for the whole content.
  ///   - size: Of the content, in bytes.
  static func asked(by headers: Headers, tag: String, size: Int) -> ByteRange {
    guard let text = headers["Range"], headers.count(of: "Range") == 1 else { return .all }
    if let condition = headers["If-Range"], condition != tag { return .all }
    return ByteRange(text, size: size)
  }

  /// Several ranges are answered with the whole content, as a server may.
  init(_ text: String, size: Int) {
    self = .all
    guard text.lowercased().hasPrefix("bytes=") else { return }
    let parts = text.dropFirst("bytes=".count).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else { return }
    // A number that is too large for Int is beyond every content.
    let (first, last) = (parts[0].isEmpty ? nil : Int(parts[0]) ?? .max, parts[1].isEmpty ? nil : Int(parts[1]) ?? .max)
    switch (first, last) {
    case (nil, nil): return
    case (nil, let count?): self = count == 0 || size == 0 ? .none : .some(max(0, size - count)..<size)
    case (let first?, let last):
      if let last, last < first { return }
      self = first >= size ? .none : .some(first..<(last.map { min($0, size - 1) } ?? size - 1) + 1)
    }
  }

  /// True if a list of entity tags, as in `If-None-Match`, has this one. Weak tags are compared without their mark.
  static func matches(_ list: String, _ tag: String) -> Bool {
    list.split(separator: ",").contains { item in
      let item = item.drop { $0 == " " }
      let name = item.hasPrefix("W/") ? item.dropFirst(2) : item
      return name == "*" || name.prefix { $0 != " " } == tag
    }
  }
}
