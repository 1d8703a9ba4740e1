/// A value that can be given as text on the command line, in the environment or in a settings file.
public protocol ArgumentValue: Sendable, Equatable {
  /// The placeholder for a value in help texts: `N`, `TEXT`.
  static var placeholder: String { get }
  /// The expected form, for the error about a wrong value: “a whole number”.
  static var expectation: String { get }
  init?(argument: String)
  var argument: String { get }
}

extension Int: ArgumentValue {
  public static var placeholder: String { "N" }
  public static var expectation: String { "a whole number" }
  public init?(argument: String) { self.init(argument) }
  public var argument: String { "\(self)" }
}

extension String: ArgumentValue {
  public static var placeholder: String { "TEXT" }
  public static var expectation: String { "a text" }
  public init?(argument: String) { self = argument }
  public var argument: String { self }
}

extension Bool: ArgumentValue {
  public static var placeholder: String { "true|false" }
  public static var expectation: String { "true or false" }
  public init?(argument: String) {
    switch argument {
    case "true", "yes", "on", "1": self = true
    case "false", "no", "off", "0": self = false
    default: return nil
    }
  }
  public var argument: String { "\(self)" }
}

extension Duration: ArgumentValue {
  public static var placeholder: String { "TIME" }
  public static var expectation: String { "a time such as 250ms, 30s, 5m or 2h" }
  public init?(argument: String) {
    let number = argument.prefix { $0.isASCII && $0.isNumber }
    guard let count = Int(number), count < 1_000_000_000 else { return nil }
    switch argument.dropFirst(number.count) {
    case "ms": self = .milliseconds(count)
    case "s": self = .seconds(count)
    case "m": self = .seconds(count * 60)
    case "h": self = .seconds(count * 3_600)
    default: return nil
    }
  }
  public var argument: String {
    let (seconds, attoseconds) = components
    return attoseconds == 0 ? "\(seconds)s" : "\(seconds * 1_000 + attoseconds / 1_000_000_000_000_000)ms"
  }
}

/// A number of bytes, written with a binary unit: `64KiB`.
public struct ByteCount: ArgumentValue, Comparable {
  public let bytes: Int
  public init(_ bytes: Int) { self.bytes = bytes }
  public static func mebibytes(_ count: Int) -> ByteCount { ByteCount(count << 20) }
  public static func < (left: ByteCount, right: ByteCount) -> Bool { left.bytes < right.bytes }

  public static var placeholder: String { "SIZE" }
  public static var expectation: String { "a size such as 512, 64KiB, 16MiB or 2GiB" }
  private static let units = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("", 0)]

  public init?(argument: String) {
    let number = argument.prefix { $0.isASCII && $0.isNumber }
    guard let count = Int(number), let unit = Self.units.first(where: { $0.0 == argument.dropFirst(number.count) }),
      count <= Int.max >> unit.1
    else { return nil }
    bytes = count << unit.1
  }

  public var argument: String {
    let unit = Self.units.first { bytes > 0 && bytes % (1 << $0.1) == 0 } ?? ("", 0)
    return "\(bytes >> unit.1)\(unit.0)"
  }
}

/// Enumerations with text as raw values only need to declare the conformance.
extension ArgumentValue where Self: RawRepresentable & CaseIterable, RawValue == String {
  public static var placeholder: String { allCases.map(\.rawValue).joined(separator: "|") }
  public static var expectation: String { "one of \(allCases.map(\.rawValue).joined(separator: ", "))" }
  public init?(argument: String) { self.init(rawValue: argument) }
  public var argument: String { rawValue }
}
