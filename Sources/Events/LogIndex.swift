/// The number of an event in the whole log: 0, 1, 2 … without gaps. An event has it once no other event can come before it
/// any more (G2), so a reader that has passed an index never misses one.
public struct LogIndex: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByIntegerLiteral {
  public let value: Int64
  public init(_ value: Int64) { self.value = value }
  public init(integerLiteral value: Int64) { self.value = value }
  /// The first event's.
  public static let start: LogIndex = 0
  public var next: LogIndex { LogIndex(value + 1) }
  public func advanced(by count: Int) -> LogIndex { LogIndex(value + Int64(count)) }
  public static func < (left: LogIndex, right: LogIndex) -> Bool { left.value < right.value }
  public var description: String { "\(value)" }
}
