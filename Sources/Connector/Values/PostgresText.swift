import Time

/// Reads the text forms in which Postgres writes values (ISO date style, interval style `postgres`). nil: not of that
/// form.
enum PostgresText {
  typealias Bytes = UnsafeRawBufferPointer

  /// One pass over ASCII.
  struct Scanner {
    private let bytes: Bytes
    private(set) var index = 0

    init(_ bytes: Bytes) { self.bytes = bytes }

    var isAtEnd: Bool { index >= bytes.count }
    var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    mutating func skip(_ text: StaticString) -> Bool {
      let text = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
      guard bytes[index...].starts(with: text) else { return false }
      index += text.count
      return true
    }

    /// Digits as a number, and how many there were.
    mutating func digits() -> (value: Int64, count: Int)? {
      var (value, count): (Int64, Int) = (0, 0)
      while let byte = next, (0x30...0x39).contains(byte) {
        let (product, overflows) = value.multipliedReportingOverflow(by: 10)
        guard !overflows else { return nil }
        let (sum, carries) = product.addingReportingOverflow(Int64(byte - 0x30))
        guard !carries else { return nil }
        value = sum
        count += 1
        index += 1
      }
      return count > 0 ? (value, count) : nil
    }

    /// `.123`, in microseconds.
    mutating func fraction() -> Int64? {
      guard skip(".") else { return 0 }
      guard let (value, count) = digits(), count <= 6 else { return nil }
      var scaled = value
      for _ in count..<6 { scaled *= 10 }
      return scaled
    }

    /// `13:14:15.5`, in microseconds; hours may be any number.
    mutating func time() -> Int64? {
      guard let hours = digits()?.value, hours < 1 << 40, skip(":"), let minutes = digits()?.value, skip(":"),
        let seconds = digits()?.value, let fraction = fraction(), minutes < 60, seconds <= 60
      else { return nil }
      return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction
    }

    /// `2024-02-29`, in days since 1970 of the proleptic Gregorian calendar; “BC” comes at the text's very end.
    mutating func date(isBeforeChrist: Bool) -> Int64? {
      guard let year = digits()?.value, year < 1 << 32, skip("-"), let month = digits()?.value, skip("-"),
        let day = digits()?.value
      else { return nil }
      return CalendarDay(year: Int(isBeforeChrist ? 1 - year : year), month: Int(month), day: Int(day))
        .map { Int64($0.daysSince1970) }
    }

    /// `+05:30`, `-12`, `+00:19:32`, in microseconds.
    mutating func offset() -> Int64? {
      let isNegative = skip("-")
      guard isNegative || skip("+"), let hours = digits()?.value, hours < 100 else { return nil }
      var seconds = hours * 3_600
      if skip(":") {
        guard let minutes = digits()?.value, minutes < 60 else { return nil }
        seconds += minutes * 60
        if skip(":") {
          guard let more = digits()?.value, more < 60 else { return nil }
          seconds += more
        }
      }
      return (isNegative ? -seconds : seconds) * 1_000_000
    }
  }

  /// A date, a time, or one of the two infinities.
  enum Moment: Equatable {
    case finite(Int64)
    case infinity, minusInfinity
  }

  private static func special(_ bytes: Bytes) -> Moment? {
    if bytes.elementsEqual("infinity".utf8) { return .infinity }
    if bytes.elementsEqual("-infinity".utf8) { return .minusInfinity }
    return nil
  }

  private static func isBeforeChrist(_ bytes: Bytes) -> Bool { bytes.suffix(3).elementsEqual(" BC".utf8) }

  /// Days since 1970.
  static func date(_ bytes: Bytes) -> Moment? {
    if let special = special(bytes) { return special }
    var scanner = Scanner(bytes)
    return scanner.date(isBeforeChrist: isBeforeChrist(bytes)).map { .finite($0) }
  }

  static func time(_ bytes: Bytes) -> Int64? {
    var scanner = Scanner(bytes)
    return scanner.time()
  }

  /// Microseconds of the day in UTC.
  static func timeWithZone(_ bytes: Bytes) -> Int64? {
    var scanner = Scanner(bytes)
    guard let time = scanner.time(), let offset = scanner.offset() else { return nil }
    let day: Int64 = 86_400_000_000
    return (((time - offset) % day) + day) % day
  }

  /// Days since 1970 and microseconds of the day, in UTC where there is an offset.
  struct DayAndTime: Equatable {
    var day: Int64
    var time: Int64
    /// Microseconds since 1970, clamped to 64 bits.
    var microseconds: Int64 {
      let (product, overflows) = day.multipliedReportingOverflow(by: 86_400_000_000)
      let (sum, carries) = product.addingReportingOverflow(time)
      return overflows || carries ? (day < 0 ? .min : .max) : sum
    }
  }

  enum PointInTime: Equatable {
    case finite(DayAndTime)
    case infinity, minusInfinity
  }

  static func timestamp(_ bytes: Bytes) -> PointInTime? {
    switch special(bytes) {
    case .infinity: return .infinity
    case .minusInfinity: return .minusInfinity
    default: break
    }
    var scanner = Scanner(bytes)
    guard let day = scanner.date(isBeforeChrist: isBeforeChrist(bytes)), scanner.skip(" "), let time = scanner.time()
    else { return nil }
    guard !scanner.isAtEnd, scanner.next != UInt8(ascii: " ") else {
      return .finite(DayAndTime(day: day, time: time))
    }
    guard let offset = scanner.offset() else { return nil }
    var moment = DayAndTime(day: day, time: time - offset)
    while moment.time < 0 { (moment.day, moment.time) = (moment.day - 1, moment.time + 86_400_000_000) }
    while moment.time >= 86_400_000_000 {
      (moment.day, moment.time) = (moment.day + 1, moment.time - 86_400_000_000)
    }
    return .finite(moment)
  }

  struct Interval: Equatable {
    var months: Int64 = 0
    var days: Int64 = 0
    var microseconds: Int64 = 0
  }

  /// `1 year 2 mons -3 days +04:05:06.789`
  static func interval(_ bytes: Bytes) -> Interval? {
    var scanner = Scanner(bytes)
    var interval = Interval()
    while !scanner.isAtEnd {
      let isNegative = scanner.skip("-")
      if !isNegative { _ = scanner.skip("+") }
      var ahead = scanner
      if let time = ahead.time() {
        interval.microseconds = isNegative ? -time : time
        scanner = ahead
      } else {
        guard let magnitude = scanner.digits()?.value, scanner.skip(" ") else { return nil }
        let value = isNegative ? -magnitude : magnitude
        // The longer names come first: “mon” begins “mons”.
        if scanner.skip("years") || scanner.skip("year") {
          interval.months += value * 12
        } else if scanner.skip("mons") || scanner.skip("mon") {
          interval.months += value
        } else if scanner.skip("days") || scanner.skip("day") {
          interval.days += value
        } else {
          return nil
        }
      }
      guard scanner.isAtEnd || scanner.skip(" ") else { return nil }
    }
    return interval
  }

  /// `\xdeadbeef`
  static func bytea(_ bytes: Bytes) -> [UInt8]? {
    guard bytes.count >= 2, bytes[0] == UInt8(ascii: "\\"), bytes[1] == UInt8(ascii: "x"), bytes.count % 2 == 0 else {
      return nil
    }
    func digit(_ byte: UInt8) -> UInt8? {
      switch byte {
      case 0x30...0x39: byte - 0x30
      case 0x61...0x66: byte - 0x57
      case 0x41...0x46: byte - 0x37
      default: nil
      }
    }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count / 2 - 1)
    for index in stride(from: 2, to: bytes.count, by: 2) {
      guard let high = digit(bytes[index]), let low = digit(bytes[index + 1]) else { return nil }
      result.append(high << 4 | low)
    }
    return result
  }

  /// The elements of a one-dimensional array, nil for null; nil altogether for another form or more dimensions.
  static func array(_ bytes: Bytes) -> [[UInt8]?]? {
    guard bytes.first == UInt8(ascii: "{"), bytes.last == UInt8(ascii: "}"), bytes.count >= 2 else { return nil }
    var elements: [[UInt8]?] = []
    var index = 1
    let end = bytes.count - 1
    if index == end { return [] }
    while true {
      var element: [UInt8] = []
      var wasQuoted = false
      if index < end, bytes[index] == UInt8(ascii: "\"") {
        wasQuoted = true
        index += 1
        while index < end, bytes[index] != UInt8(ascii: "\"") {
          if bytes[index] == UInt8(ascii: "\\") { index += 1 }
          guard index < end else { return nil }
          element.append(bytes[index])
          index += 1
        }
        guard index < end else { return nil }
        index += 1
      } else {
        while index < end, bytes[index] != UInt8(ascii: ",") {
          guard bytes[index] != UInt8(ascii: "{") else { return nil }
          element.append(bytes[index])
          index += 1
        }
      }
      elements.append(!wasQuoted && element.elementsEqual("NULL".utf8) ? nil : element)
      if index == end { return elements }
      guard bytes[index] == UInt8(ascii: ",") else { return nil }
      index += 1
    }
  }

  /// `"key"=>"value", "other"=>NULL`
  static func hstore(_ bytes: Bytes) -> [(key: String, value: String?)]? {
    var pairs: [(key: String, value: String?)] = []
    var index = 0
    func quoted() -> String? {
      guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return nil }
      index += 1
      var text: [UInt8] = []
      while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
        if bytes[index] == UInt8(ascii: "\\") { index += 1 }
        guard index < bytes.count else { return nil }
        text.append(bytes[index])
        index += 1
      }
      guard index < bytes.count else { return nil }
      index += 1
      return String(decoding: text, as: UTF8.self)
    }
    while index < bytes.count {
      guard let key = quoted(), bytes[index...].starts(with: "=>".utf8) else { return nil }
      index += 2
      if bytes[index...].starts(with: "NULL".utf8) {
        index += 4
        pairs.append((key, nil))
      } else {
        guard let value = quoted() else { return nil }
        pairs.append((key, value))
      }
      if index < bytes.count {
        guard bytes[index...].starts(with: ", ".utf8) else { return nil }
        index += 2
      }
    }
    return pairs
  }
}
