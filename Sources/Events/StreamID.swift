/// The name of a stream: a category and the aggregate's id in it, written `document-0691e6db…`.
public struct StreamID: Hashable, Sendable, CustomStringConvertible {
  public let category: String
  public let id: String

  /// - Parameters:
  ///   - category: It has no hyphen: the first one in the name ends the category.
  ///   - id: It is not empty.
  public init(category: StaticString, id: String) {
    self.category = "\(category)"
    self.id = id
    assert(!self.category.contains("-"), "a category has no hyphen")
  }

  /// Splits a name at its first hyphen; nil if it has none, or nothing on one side of it.
  public init?(_ name: String) {
    let bytes = name.utf8
    guard let hyphen = bytes.firstIndex(of: UInt8(ascii: "-")), hyphen != bytes.startIndex else { return nil }
    let start = bytes.index(after: hyphen)
    guard start != bytes.endIndex else { return nil }
    category = String(name[..<hyphen])
    id = String(name[start...])
  }

  public var description: String { "\(category)-\(id)" }
}

/// The number of an event in its stream: 1, 2, 3 … without gaps. 0 is the version of a stream without events.
public struct StreamVersion: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByIntegerLiteral {
  public let value: Int64
  public init(_ value: Int64) { self.value = value }
  public init(integerLiteral value: Int64) { self.value = value }
  public static let none: StreamVersion = 0
  public var next: StreamVersion { StreamVersion(value + 1) }
  public static func < (left: StreamVersion, right: StreamVersion) -> Bool { left.value < right.value }
  public var description: String { "\(value)" }
}

/// The version that a stream must have for an append to succeed.
public enum ExpectedVersion: Equatable, Sendable {
  case any
  case noStream
  case exact(StreamVersion)

  /// A stream at this version: `none` means that it has no events.
  public init(_ version: StreamVersion) { self = version == .none ? .noStream : .exact(version) }
}
