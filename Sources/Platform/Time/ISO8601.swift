extension Timestamp: CustomStringConvertible, LosslessStringConvertible {
  /// `2026-11-21T13:20:38.123456Z`: always UTC and six digits, so that text order is time order (years 0 to 9999).
  /// Debezium writes `timestamptz` in this form (io.debezium.time.ZonedTimestamp).
  public var description: String {
    String(unsafeUninitializedCapacity: 40) { buffer in
      var writer = DigitWriter(buffer: buffer)
      let (days, microsecondOfDay) = microseconds.flooredQuotientAndRemainder(by: 86_400_000_000)
      let date = CalendarDay(daysSince1970: Int(days))
      let second = Int(microsecondOfDay / 1_000_000)
      writer.put(date.year, digits: 4)
      writer.put("-")
      writer.put(date.month, digits: 2)
      writer.put("-")
      writer.put(date.day, digits: 2)
      writer.put("T")
      writer.put(second / 3_600, digits: 2)
      writer.put(":")
      writer.put(second / 60 % 60, digits: 2)
      writer.put(":")
      writer.put(second % 60, digits: 2)
      writer.put(".")
      writer.put(Int(microsecondOfDay % 1_000_000), digits: 6)
      writer.put("Z")
      return writer.count
    }
  }

  /// Reads RFC 3339's date-time: `2026-11-21T13:20:38Z`, with up to six digits of fraction, `Z` or an offset.
  /// A date without a time means midnight UTC. Returns nil for everything else, including days that do not exist and
  /// leap seconds.
  public init?(_ text: String) {
    var parser = DateParser(text: text)
    guard let parsed = parser.parse() else { return nil }
    self = parsed
  }
}

private struct DigitWriter {
  let buffer: UnsafeMutableBufferPointer<UInt8>
  var count = 0

  mutating func put(_ character: Unicode.Scalar) {
    buffer[count] = UInt8(ascii: character)
    count += 1
  }

  /// Writes at least `digits` digits, more where the number is larger, and a sign below zero.
  mutating func put(_ number: Int, digits: Int) {
    if number < 0 { put("-") }
    var magnitude = number.magnitude
    var width = digits
    var limit: UInt = 1
    for _ in 0..<digits { limit *= 10 }
    while magnitude >= limit {
      limit *= 10
      width += 1
    }
    var index = count + width
    for _ in 0..<width {
      index -= 1
      buffer[index] = UInt8(ascii: "0") + UInt8(magnitude % 10)
      magnitude /= 10
    }
    count += width
  }
}

private struct DateParser {
  /// 0000-01-01 to 9999-12-31, in microseconds since 1970.
  private static let years: Range<Int64> = -62_167_219_200_000_000..<253_402_300_800_000_000

  private let bytes: [UInt8]
  private var index = 0

  init(text: String) { bytes = Array(text.utf8) }

  mutating func parse() -> Timestamp? {
    guard let year = number(4), skip("-"), let month = number(2), skip("-"), let day = number(2),
      let date = CalendarDay(year: year, month: month, day: day)
    else { return nil }
    let midnight = Int64(date.daysSince1970) * 86_400_000_000
    if index == bytes.count { return Timestamp(microseconds: midnight) }
    guard skip("T") || skip("t") || skip(" "), let hour = number(2), hour < 24, skip(":"), let minute = number(2),
      minute < 60, skip(":"), let second = number(2), second < 60, let fraction = fraction(), let offset = offset(),
      index == bytes.count
    else { return nil }
    let seconds = Int64(hour * 3_600 + minute * 60 + second - offset)
    let microseconds = midnight + seconds * 1_000_000 + Int64(fraction)
    // With an offset it may lie beyond the years that have four digits, and could not be read back.
    return Self.years.contains(microseconds) ? Timestamp(microseconds: microseconds) : nil
  }

  private mutating func number(_ digits: Int) -> Int? {
    guard index + digits <= bytes.count else { return nil }
    var value = 0
    for byte in bytes[index..<index + digits] {
      guard (0x30...0x39).contains(byte) else { return nil }
      value = value * 10 + Int(byte - 0x30)
    }
    index += digits
    return value
  }

  private mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
    index += 1
    return true
  }

  /// Reads a fraction in microseconds. Returns 0 if there is none, nil if it is malformed.
  private mutating func fraction() -> Int? {
    guard skip(".") else { return 0 }
    var value = 0
    var digits = 0
    while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
      guard digits < 6 else { return nil }
      value = value * 10 + Int(bytes[index] - 0x30)
      digits += 1
      index += 1
    }
    guard digits > 0 else { return nil }
    for _ in digits..<6 { value *= 10 }
    return value
  }

  /// Seconds east of UTC.
  private mutating func offset() -> Int? {
    if skip("Z") || skip("z") { return 0 }
    let sign: Int
    if skip("+") { sign = 1 } else if skip("-") { sign = -1 } else { return nil }
    guard let hours = number(2), hours < 24, skip(":"), let minutes = number(2), minutes < 60 else { return nil }
    return sign * (hours * 3_600 + minutes * 60)
  }
}

extension Int64 {
  fileprivate func flooredQuotientAndRemainder(by divisor: Int64) -> (Int64, Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
