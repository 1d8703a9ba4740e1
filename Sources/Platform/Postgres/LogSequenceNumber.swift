/// A position in Postgres' write-ahead log (LSN), in bytes, written `16/B374D848`.
public struct LogSequenceNumber: Hashable, Comparable, Sendable, LosslessStringConvertible {
  public let value: UInt64

  public init(_ value: UInt64) { self.value = value }
  public static let zero = LogSequenceNumber(0)
  /// Behind everything.
  public static let max = LogSequenceNumber(.max)

  public static func < (left: LogSequenceNumber, right: LogSequenceNumber) -> Bool { left.value < right.value }

  public init?(_ description: String) {
    let parts = description.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let high = UInt32(parts[0], radix: 16), let low = UInt32(parts[1], radix: 16) else {
      return nil
    }
    value = UInt64(high) << 32 | UInt64(low)
  }

  public var description: String {
    "\(String(value >> 32, radix: 16, uppercase: true))/\(String(value & 0xFFFF_FFFF, radix: 16, uppercase: true))"
  }
}

/// A transaction's 64-bit id (`xid8`). It includes the epoch, so it is never reused.
public struct TransactionID: Hashable, Comparable, Sendable {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public static func < (left: TransactionID, right: TransactionID) -> Bool { left.value < right.value }
}
