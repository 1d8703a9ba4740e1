/// The tags of a document: a set of words, kept in the order of their bytes.
public enum Tags {
  /// How many tags a document may have, and how long one may be, in bytes of UTF-8.
  public static let maximum = 50
  public static let maximumLength = 64

  /// - Returns: The tags once each, in order; nil if one is blank, too long or has control characters, or if there are too many.
  public static func checked(_ tags: [String]) -> [String]? {
    var seen: Set<[UInt8]> = []
    for tag in tags {
      guard (1...maximumLength).contains(tag.utf8.count), tag.contains(where: { !$0.isWhitespace }),
        tag.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
      else { return nil }
      seen.insert(Array(tag.utf8))
    }
    guard seen.count <= maximum else { return nil }
    return seen.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
  }
}
