import Glibc

/// A UUID of RFC 9562, written in lower case.
public struct UUID: Hashable, Comparable, Sendable, LosslessStringConvertible {
  /// The sixteen bytes in network order, as two halves.
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

  public static func < (left: UUID, right: UUID) -> Bool { (left.high, left.low) < (right.high, right.low) }

  /// Reads the form of 8-4-4-4-12 hexadecimal digits; nil for anything else.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count == 36 else { return nil }
    var halves: (UInt64, UInt64) = (0, 0)
    var digits = 0
    for (index, byte) in text.utf8.enumerated() {
      if index == 8 || index == 13 || index == 18 || index == 23 {
        guard byte == UInt8(ascii: "-") else { return nil }
        continue
      }
      guard let digit = Self.hexadecimalValue(byte) else { return nil }
      if digits < 16 { halves.0 = halves.0 << 4 | digit } else { halves.1 = halves.1 << 4 | digit }
      digits += 1
    }
    self.init(high: halves.0, low: halves.1)
  }

  public init?(_ description: String) { self.init(description[...]) }

  public var description: String {
    String(unsafeUninitializedCapacity: 36) { buffer in
      var index = 0
      for half in [high, low] {
        for shift in stride(from: 60, through: 0, by: -4) {
          if index == 8 || index == 13 || index == 18 || index == 23 {
            buffer[index] = UInt8(ascii: "-")
            index += 1
          }
          let digit = UInt8(half >> UInt64(shift) & 15)
          buffer[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
          index += 1
        }
      }
      return index
    }
  }

  private static func hexadecimalValue(_ byte: UInt8) -> UInt64? {
    switch byte {
    case 0x30...0x39: UInt64(byte - 0x30)
    case 0x41...0x46: UInt64(byte - 0x37)
    case 0x61...0x66: UInt64(byte - 0x57)
    default: nil
    }
  }
}

extension UUID {
  /// A new UUID of version 7: 48 bits of Unix milliseconds, 12 bits of their fraction (RFC 9562, section 6.2, method 3),
  /// 62 random bits. UUIDs of one machine sort by time, to a quarter of a microsecond.
  public static func version7() -> UUID {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let nanoseconds = UInt64(time.tv_nsec)
    let milliseconds = UInt64(time.tv_sec) * 1_000 + nanoseconds / 1_000_000
    let fraction = (nanoseconds % 1_000_000) << 12 / 1_000_000
    return UUID(
      high: milliseconds << 16 | 0x7000 | fraction,
      low: 0x8000_0000_0000_0000 | UInt64.random(in: 0..<1 << 62))
  }
}
