import Base64
import Crypto
import Glibc
import JSON
import Relay
import Time

/// Writes the values of one column, with substitutes for missing values.
struct ColumnWriter {
  private(set) var name: String
  let type: ColumnType
  let isOptional: Bool
  /// The default in the schema, as JSON. Also written instead of null.
  let defaultValue: [UInt8]?
  private let options: ColumnOptions
  /// Written for a missing value of a required column, as in the old row of a table with default replica identity.
  private let fallback: [UInt8]

  init(_ column: ColumnDescription, named name: String, _ options: ColumnOptions) {
    self.init(
      name: name, type: ColumnType(column.type, options), isOptional: column.isOptional,
      defaultExpression: column.isIdentity ? nil : column.defaultExpression, options)
  }

  init(name: String, type: ColumnType, isOptional: Bool, defaultExpression: String?, _ options: ColumnOptions) {
    (self.name, self.type, self.isOptional, self.options) = (name, type, isOptional, options)
    let values = ValueWriter(options: options)
    fallback = values.fallback(type)
    defaultValue = defaultExpression.flatMap { expression in
      switch DefaultExpression(expression) {
      case .null: nil
      case .literal(let text): values.literal(Array(text.utf8), type)
      case .computed: type == .uuid ? Array(#""00000000-0000-0000-0000-000000000000""#.utf8) : values.fallback(type)
      }
    }
  }

  /// A copy with another name.
  func named(_ name: String) -> ColumnWriter {
    var copy = self
    copy.name = name
    return copy
  }

  func write(_ column: PgOutputMessage.Tuple.Column, into writer: inout JSONWriter) {
    switch column {
    case .text(let text): ValueWriter(options: options).write(text, type, into: &writer)
    case .null, .binary:
      if let defaultValue {
        writer.splice(defaultValue)
      } else if isOptional {
        writer.null()
      } else {
        writer.splice(fallback)
      }
    case .unchanged: ValueWriter(options: options).placeholder(type, into: &writer)
    }
  }
}

/// The value of a column's default expression, as Postgres prints the expression.
enum DefaultExpression: Equatable {
  case null
  case literal(String)
  /// Only the server can compute the value.
  case computed

  init(_ text: String) {
    var text = text[...]
    while text.hasPrefix("("), text.hasSuffix(")") { text = text.dropFirst().dropLast() }
    if text.hasPrefix("'") {
      var literal = ""
      var rest = text.dropFirst()
      while let character = rest.popFirst() {
        if character != "'" {
          literal.append(character)
        } else if rest.first == "'" {
          literal.append(rest.removeFirst())
        } else {
          break
        }
      }
      // A cast and nothing else may follow.
      let isCast = rest.allSatisfy { $0.isLetter || $0.isNumber || " _.,:()[]\"".contains($0) }
      self = isCast ? .literal(literal) : .computed
    } else if text.hasPrefix("NULL::") || text == "NULL" {
      self = .null
    } else if text == "true" || text == "false" {
      self = .literal(text == "true" ? "t" : "f")
    } else if Decimal((text.split(separator: "::").first ?? "").utf8) != nil {
      self = .literal(String(text.split(separator: "::").first ?? ""))
    } else {
      self = .computed
    }
  }
}

/// Writes values in their JSON form.
struct ValueWriter {
  let options: ColumnOptions

  typealias Bytes = UnsafeRawBufferPointer

  /// Writes a value that Postgres sent as text; null if the text is not valid for the type.
  func write(_ text: Bytes, _ type: ColumnType, into writer: inout JSONWriter) {
    switch type {
    case .boolean: writer.bool(text.first == UInt8(ascii: "t") || text.first == UInt8(ascii: "1"))
    case .int16, .int32, .int64: number(text, &writer)
    case .float32: float(text, isSingle: true, &writer)
    case .float64: float(text, isSingle: false, &writer)
    case .decimal(_, let scale): decimal(text, scale: scale, &writer)
    case .variableDecimal: decimal(text, scale: nil, &writer)
    case .money: money(text, &writer)
    case .text, .json, .xml, .uuid, .ltree, .tsvector, .enumeration: writer.utf8(text)
    case .bytes: if let bytes = PostgresText.bytea(text) { binary(bytes, &writer) } else { writer.null() }
    case .unknown: binary(text, &writer)
    case .geometric: binary(geometric(text), &writer)
    case .hstore: hstore(text, &writer)
    case .bits: bits(text, &writer)
    case .date: date(text, &writer)
    case .time(let unit):
      if let time = PostgresText.time(text) { writer.integer(scaled(time, unit)) } else { writer.null() }
    case .timestamp(let unit): timestamp(text, unit, &writer)
    case .timeWithZone:
      if let time = PostgresText.timeWithZone(text) {
        var form = TimeText()
        form.time(time, digits: nil)
        form.put("Z")
        writer.utf8(form.bytes)
      } else {
        writer.null()
      }
    case .timestampWithZone(let digits): timestampWithZone(text, digits, &writer)
    case .interval: interval(text, &writer)
    case .point: point(text, &writer)
    case .array(let element): array(text, of: element, &writer)
    }
  }

  /// A single value as JSON; nil if a schema cannot contain it.
  func literal(_ text: [UInt8], _ type: ColumnType) -> [UInt8]? {
    switch type {
    case .bytes, .unknown, .geometric, .array, .bits, .point: return nil
    default:
      var writer = JSONWriter(reserving: 64)
      text.withUnsafeBytes { write($0, type, into: &writer) }
      return writer.bytes.elementsEqual("null".utf8) ? nil : writer.bytes
    }
  }

  func fallback(_ type: ColumnType) -> [UInt8] {
    let text =
      switch type {
      case .boolean: "false"
      case .int16, .int32, .int64, .date, .time, .timestamp: "0"
      case .float32, .float64: "0.0"
      case .decimal, .money:
        switch options.decimals {
        case .precise: #""AA==""#
        case .double: "0.0"
        case .string: #""0""#
        }
      case .variableDecimal:
        switch options.decimals {
        case .precise: #"{"scale":0,"value":"AA=="}"#
        case .double: "0.0"
        case .string: #""0""#
        }
      case .json, .hstore: #""{}""#
      case .timeWithZone: #""00:00:00Z""#
      case .timestampWithZone: #""1970-01-01T00:00:00Z""#
      case .interval: options.intervals == .numeric ? "0" : #""P0Y0M0DT0H0M0S""#
      case .point: #"{"x":0.0,"y":0.0,"wkb":null,"srid":null}"#
      case .array: "[]"
      case .text, .xml, .uuid, .ltree, .tsvector, .enumeration, .bytes, .unknown, .geometric, .bits: #""""#
      }
    return Array(text.utf8)
  }

  /// Writes the placeholder for an unchanged value, which Postgres did not send.
  func placeholder(_ type: ColumnType, into writer: inout JSONWriter) {
    let bytes = Array(options.placeholder.utf8)
    switch type {
    case .bytes, .unknown, .geometric: binary(bytes, &writer)
    case .array(let element):
      writer.array { writer in
        switch element {
        case .int16, .int32, .int64:
          for byte in bytes {
            writer.element()
            writer.integer(Int64(byte))
          }
        case .uuid:
          writer.element()
          writer.string(MD5.nameBasedUUID(bytes))
        default:
          writer.element()
          writer.string(options.placeholder)
        }
      }
    default: writer.string(options.placeholder)
    }
  }

  // MARK: Numbers

  private func float(_ text: Bytes, isSingle: Bool, _ writer: inout JSONWriter) {
    guard let first = text.first, first != UInt8(ascii: "N"), text.last != UInt8(ascii: "y") else {
      return writer.utf8(text)
    }
    // Java writes at least two digits, the nearest ones. The difference shows only in the smallest numbers.
    if let exponent = text.firstIndex(of: UInt8(ascii: "e")), exponent <= 2, !text[..<exponent].contains(0x2E),
      let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite
    {
      let nearest = isSingle ? Double(Float(value)) : value
      var buffer = [CChar](repeating: 0, count: 32)
      let count = withVaList([nearest]) { vsnprintf(&buffer, buffer.count, "%.1e", $0) }
      let two = String(decoding: buffer.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if isSingle ? Float(two) == Float(value) : Double(two) == value { return writer.splice(two.utf8) }
    }
    number(text, &writer)
  }

  /// A number that is JSON as it stands (RFC 8259, section 6).
  private func number(_ text: Bytes, _ writer: inout JSONWriter) {
    var rest = text[...]
    func digits() -> Bool {
      let count = rest.prefix { (0x30...0x39).contains($0) }.count
      rest = rest.dropFirst(count)
      return count > 0
    }
    if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
    let first = rest.first
    let start = rest.startIndex
    guard digits(), first != 0x30 || rest.startIndex == start + 1 else { return writer.null() }
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      guard digits() else { return writer.null() }
    }
    if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
      rest = rest.dropFirst()
      if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
      guard digits() else { return writer.null() }
    }
    guard rest.isEmpty else { return writer.null() }
    writer.splice(text)
  }

  private func decimal(_ text: Bytes, scale: Int?, _ writer: inout JSONWriter) {
    guard var decimal = Decimal(text) else {
      switch (options.decimals, text.first.map(Unicode.Scalar.init)) {
      case (.string, "N"): writer.string("NAN")
      case (.string, "-"): writer.string("NEGATIVE_INFINITY")
      case (.string, _): writer.string("POSITIVE_INFINITY")
      case (.double, _): writer.utf8(text)
      case (.precise, _): writer.null()
      }
      return
    }
    if let scale { decimal.rescale(to: scale) }
    switch options.decimals {
    case .string: writer.utf8(decimal.text)
    case .double: writer.double(Double(String(decoding: text, as: UTF8.self)) ?? .nan)
    case .precise:
      if scale == nil {
        decimal.stripZeros()
        writer.object { writer in
          writer.member("scale", decimal.scale)
          writer.name("value")
          base64(decimal.unscaledBytes, &writer)
        }
      } else {
        base64(decimal.unscaledBytes, &writer)
      }
    }
  }

  /// `-$1,234.56`, in the form of lc_monetary. Everything except digits, point and sign is skipped.
  private func money(_ text: Bytes, _ writer: inout JSONWriter) {
    let kept = text.filter { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    kept.withUnsafeBytes { decimal($0, scale: 2, &writer) }
  }

  // MARK: Bytes

  private func base64(_ bytes: some RandomAccessCollection<UInt8>, isURLSafe: Bool = false, _ writer: inout JSONWriter)
  {
    var text: [UInt8] = []
    Base64.append(bytes, isURLSafe: isURLSafe, to: &text)
    writer.utf8(text)
  }

  func binary(_ bytes: some RandomAccessCollection<UInt8>, _ writer: inout JSONWriter) {
    switch options.binary {
    case .bytes, .base64: base64(bytes, &writer)
    case .base64URLSafe: base64(bytes, isURLSafe: true, &writer)
    case .hex:
      var text: [UInt8] = []
      for byte in bytes {
        for digit in [byte >> 4, byte & 15] { text.append(digit < 10 ? 0x30 + digit : 0x57 + digit) }
      }
      writer.utf8(text)
    }
  }

  /// The lowest bit first, without zeros at the end: java.util.BitSet's form.
  private func bits(_ text: Bytes, _ writer: inout JSONWriter) {
    var bytes = [UInt8](repeating: 0, count: (text.count + 7) / 8)
    for (position, character) in text.reversed().enumerated() where character == UInt8(ascii: "1") {
      bytes[position / 8] |= 1 << (position % 8)
    }
    while bytes.last == 0 { bytes.removeLast() }
    base64(bytes, &writer)
  }

  // MARK: Times

  private func scaled(_ microseconds: Int64, _ unit: ColumnType.TimeUnit) -> Int64 {
    switch unit {
    case .microseconds: return microseconds
    case .milliseconds:
      let quotient = microseconds / 1_000
      return microseconds % 1_000 < 0 ? quotient - 1 : quotient
    case .nanoseconds:
      let (product, overflows) = microseconds.multipliedReportingOverflow(by: 1_000)
      return overflows ? (microseconds < 0 ? .min : .max) : product
    }
  }

  private func date(_ text: Bytes, _ writer: inout JSONWriter) {
    switch PostgresText.date(text) {
    case .finite(let days): writer.integer(days)
    // The limits of the schema's type, int32.
    case .infinity: writer.integer(Int64(Int32.max))
    case .minusInfinity: writer.integer(Int64(Int32.min))
    case nil: writer.null()
    }
  }

  /// Infinities have the JDBC driver's values (PGStatement.DATE_POSITIVE_INFINITY and DATE_NEGATIVE_INFINITY).
  private func timestamp(_ text: Bytes, _ unit: ColumnType.TimeUnit, _ writer: inout JSONWriter) {
    switch PostgresText.timestamp(text) {
    case .finite(let moment):
      if unit == .milliseconds {
        writer.integer(moment.day * 86_400_000 + moment.time / 1_000)
      } else {
        writer.integer(scaled(moment.microseconds, unit))
      }
    case .infinity: writer.integer(scaled(9_223_372_036_825_200_000, unit))
    case .minusInfinity: writer.integer(scaled(-9_223_372_036_832_400_000, unit))
    case nil: writer.null()
    }
  }

  private func timestampWithZone(_ text: Bytes, _ digits: Int, _ writer: inout JSONWriter) {
    switch PostgresText.timestamp(text) {
    case .finite(let moment):
      var form = TimeText()
      form.date(moment.day)
      form.put("T")
      form.time(moment.time, digits: digits)
      form.put("Z")
      writer.utf8(form.bytes)
    case .infinity: writer.string("infinity")
    case .minusInfinity: writer.string("-infinity")
    case nil: writer.null()
    }
  }

  /// In numeric form, a month counts as 30.4375 days (io.debezium.time.MicroDuration).
  private func interval(_ text: Bytes, _ writer: inout JSONWriter) {
    guard let interval = PostgresText.interval(text) else { return writer.null() }
    switch options.intervals {
    case .numeric:
      let (months, overflows) = interval.months.multipliedReportingOverflow(by: 2_629_800_000_000)
      let (days, spills) = interval.days.multipliedReportingOverflow(by: 86_400_000_000)
      let (sum, carries) = months.addingReportingOverflow(days)
      let (total, exceeds) = sum.addingReportingOverflow(interval.microseconds)
      let isTooLong = overflows || spills || carries || exceeds
      writer.integer(isTooLong ? (interval.months < 0 || interval.days < 0 ? .min : .max) : total)
    case .string:
      let seconds = interval.microseconds / 1_000_000
      let fraction = interval.microseconds % 1_000_000
      var form = TimeText()
      form.put("P\(interval.months / 12)Y\(interval.months % 12)M\(interval.days)DT")
      form.put("\(seconds / 3_600)H\(seconds / 60 % 60)M")
      if fraction < 0, seconds % 60 == 0 { form.put("-") }
      form.put("\(seconds % 60)")
      form.fraction(Swift.abs(fraction), digits: nil)
      form.put("S")
      writer.utf8(form.bytes)
    }
  }

  // MARK: The rest

  private func hstore(_ text: Bytes, _ writer: inout JSONWriter) {
    guard let pairs = PostgresText.hstore(text) else { return writer.null() }
    var map = JSONWriter(reserving: text.count + 16)
    map.object { writer in
      for (key, value) in pairs { writer.member(key, orNull: value) }
    }
    writer.utf8(map.bytes)
  }

  /// `(1.5,-2)`, with its well-known binary form.
  private func point(_ text: Bytes, _ writer: inout JSONWriter) {
    let parts = text.dropFirst().dropLast().split(separator: UInt8(ascii: ","))
    guard parts.count == 2, let x = Double(String(decoding: parts[0], as: UTF8.self)),
      let y = Double(String(decoding: parts[1], as: UTF8.self))
    else { return writer.null() }
    // Little-endian, a point (OGC 06-103r4, “Well-known Binary Representation”).
    var form: [UInt8] = [1, 1, 0, 0, 0]
    for value in [x, y] { withUnsafeBytes(of: value.bitPattern.littleEndian) { form.append(contentsOf: $0) } }
    writer.object { writer in
      for (name, value) in [("x", x), ("y", y)] {
        writer.name(name)
        writer.double(value)
      }
      writer.name("wkb")
      base64(form, &writer)
      writer.name("srid")
      writer.null()
    }
  }

  /// The text with a decimal point in each number: `(1.0,0.5)`.
  private func geometric(_ text: Bytes) -> [UInt8] {
    var result: [UInt8] = []
    var rest = text[...]
    while let byte = rest.first {
      let number = rest.prefix { (0x2B...0x39).contains($0) && $0 != UInt8(ascii: ",") || $0 == UInt8(ascii: "e") }
      guard !number.isEmpty else {
        result.append(byte)
        rest = rest.dropFirst()
        continue
      }
      result.append(contentsOf: number)
      if !number.contains(UInt8(ascii: ".")), !number.contains(UInt8(ascii: "e")) {
        result.append(contentsOf: ".0".utf8)
      }
      rest = rest.dropFirst(number.count)
    }
    return result
  }

  private func array(_ text: Bytes, of element: ColumnType, _ writer: inout JSONWriter) {
    // An array with several dimensions has no JSON form: Debezium writes null.
    guard let elements = PostgresText.array(text) else { return writer.null() }
    writer.array { writer in
      for value in elements {
        writer.element()
        if let value { value.withUnsafeBytes { write($0, element, into: &writer) } } else { writer.null() }
      }
    }
  }
}

extension MD5 {
  /// RFC 9562, version 3, without a name space: java.util.UUID.nameUUIDFromBytes.
  fileprivate static func nameBasedUUID(_ bytes: [UInt8]) -> String {
    var hash = hash(bytes)
    hash[6] = hash[6] & 0x0F | 0x30
    hash[8] = hash[8] & 0x3F | 0x80
    let text = Array(hash.hexadecimal)
    return [text[0..<8], text[8..<12], text[12..<16], text[16..<20], text[20..<32]]
      .map { String($0) }.joined(separator: "-")
  }
}

extension JSONWriter {
  fileprivate mutating func utf8(_ text: [UInt8]) { text.withUnsafeBytes { utf8($0) } }
}

/// ISO 8601 as java.time writes it.
private struct TimeText {
  private(set) var bytes: [UInt8] = []

  mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }

  private mutating func put(_ number: Int64, digits: Int) {
    let text = "\(number)"
    for _ in 0..<max(0, digits - text.utf8.count) { bytes.append(0x30) }
    put(text)
  }

  mutating func date(_ days: Int64) {
    let date = CalendarDay(daysSince1970: Int(days))
    if date.year < 0 { put("-") } else if date.year > 9_999 { put("+") }
    put(Int64(Swift.abs(date.year)), digits: 4)
    put("-")
    put(Int64(date.month), digits: 2)
    put("-")
    put(Int64(date.day), digits: 2)
  }

  /// - Parameter digits: Number of digits of the fraction; nil: as many as needed.
  mutating func time(_ microseconds: Int64, digits: Int?) {
    let seconds = microseconds / 1_000_000
    put(seconds / 3_600, digits: 2)
    put(":")
    put(seconds / 60 % 60, digits: 2)
    put(":")
    put(seconds % 60, digits: 2)
    fraction(microseconds % 1_000_000, digits: digits)
  }

  mutating func fraction(_ microseconds: Int64, digits: Int?) {
    var text = Array("\(1_000_000 + microseconds)".utf8.dropFirst())
    if let digits { text = Array(text.prefix(digits)) } else { while text.last == 0x30 { text.removeLast() } }
    guard !text.isEmpty else { return }
    bytes.append(UInt8(ascii: "."))
    bytes.append(contentsOf: text)
  }
}
