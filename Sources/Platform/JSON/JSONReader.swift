import Glibc

extension JSONValue {
  /// Reads exactly one JSON text of RFC 8259, with nothing after it: no BOM, no comments, no trailing comma. Every
  /// string must be valid UTF-8 without lone surrogates, and no object may have the same name twice.
  ///
  /// - Parameter maximumValues: The most values, members and elements included: each takes memory, however short its text
  ///   is.
  public init(
    parsing bytes: [UInt8], maximumDepth: Int = 64, maximumValues: Int = .max
  ) throws(JSONError) {
    let result = bytes.withUnsafeBufferPointer { buffer in
      Result { () throws(JSONError) -> JSONValue in
        var reader = JSONReader(buffer, maximumDepth: maximumDepth, maximumValues: maximumValues)
        let value = try reader.value()
        try reader.end()
        return value
      }
    }
    self = try result.get()
  }

  public init(parsing text: String, maximumDepth: Int = 64) throws(JSONError) {
    try self.init(parsing: Array(text.utf8), maximumDepth: maximumDepth)
  }
}

/// Reads a JSON text from front to back. It borrows the bytes: it must not outlive the closure that lent them.
struct JSONReader: ~Copyable {
  private let bytes: UnsafeBufferPointer<UInt8>
  private let maximumDepth: Int
  private let maximumValues: Int
  private var values = 0
  private var index = 0
  private var depth = 0
  /// The bytes of a string that has escapes, decoded.
  private var decoded: [UInt8] = []

  init(_ bytes: UnsafeBufferPointer<UInt8>, maximumDepth: Int, maximumValues: Int) {
    (self.bytes, self.maximumDepth, self.maximumValues) = (bytes, maximumDepth, maximumValues)
  }

  mutating func value() throws(JSONError) -> JSONValue {
    values += 1
    if values > maximumValues { throw JSONError(.tooManyValues(limit: maximumValues), offset: index) }
    switch try next() {
    case UInt8(ascii: "{"): return .object(try object())
    case UInt8(ascii: "["): return .array(try array())
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"):
      try word("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try word("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try word("null")
      return .null
    case UInt8(ascii: "-"), 0x30...0x39: return try number()
    default: throw unexpected()
    }
  }

  mutating func end() throws(JSONError) {
    skipBlanks()
    if index < bytes.count { throw JSONError(.trailing, offset: index) }
  }

  // MARK: Containers

  private mutating func object() throws(JSONError) -> JSONObject {
    try enter()
    var object = JSONObject()
    var names = NameSet()
    if try next() != UInt8(ascii: "}") {
      // Only the outermost: many small objects would each hold the memory of a larger one.
      if depth == 1 { object.members.reserveCapacity(8) }
      while true {
        guard try next() == UInt8(ascii: "\"") else { throw unexpected() }
        let start = index
        let name = try string()
        guard names.insert(name, beside: object.members) else {
          throw JSONError(.duplicateName(name), offset: start, path: [.name(name)])
        }
        guard try next() == UInt8(ascii: ":") else { throw unexpected() }
        index += 1
        do { object.members.append(JSONObject.Member(name: name, value: try value())) } catch {
          throw error.inside(.name(name))
        }
        if try next() == UInt8(ascii: "}") { break }
        try comma()
      }
    }
    leave()
    return object
  }

  private mutating func array() throws(JSONError) -> [JSONValue] {
    try enter()
    var elements: [JSONValue] = []
    if try next() != UInt8(ascii: "]") {
      while true {
        do { elements.append(try value()) } catch { throw error.inside(.index(elements.count)) }
        if try next() == UInt8(ascii: "]") { break }
        try comma()
      }
    }
    leave()
    return elements
  }

  private mutating func enter() throws(JSONError) {
    guard depth < maximumDepth else { throw JSONError(.tooDeep(limit: maximumDepth), offset: index) }
    depth += 1
    index += 1
  }

  private mutating func leave() {
    depth -= 1
    index += 1
  }

  private mutating func comma() throws(JSONError) {
    guard bytes[index] == UInt8(ascii: ",") else { throw unexpected() }
    index += 1
  }

  // MARK: Scalars

  private mutating func word(_ word: StaticString) throws(JSONError) {
    let count = word.utf8CodeUnitCount
    guard index + count <= bytes.count, memcmp(bytes.baseAddress! + index, word.utf8Start, count) == 0 else {
      throw unexpected()
    }
    index += count
  }

  private mutating func number() throws(JSONError) -> JSONValue {
    let start = index
    let negative = bytes[index] == UInt8(ascii: "-")
    if negative { index += 1 }
    let firstDigit = index
    var magnitude: UInt64 = 0
    while let digit = digit() {
      magnitude = magnitude &* 10 &+ UInt64(digit)
      index += 1
    }
    let digits = index - firstDigit
    guard digits == 1 || digits > 1 && bytes[firstDigit] != UInt8(ascii: "0") else {
      throw JSONError(.badNumber, offset: start)
    }
    var isInteger = true
    if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
      isInteger = false
      index += 1
      try digitsOfFractionOrExponent(of: start)
    }
    if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      index += 1
      if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") { index += 1 }
      try digitsOfFractionOrExponent(of: start)
    }
    let isNegativeZero = negative && magnitude == 0 && digits == 1
    if isInteger, digits <= 18, !isNegativeZero { return .integer(negative ? -Int64(magnitude) : Int64(magnitude)) }
    let literal = String(decoding: bytes[start..<index], as: UTF8.self)
    if isInteger, !isNegativeZero, let value = Int64(literal) { return .integer(value) }
    return .number(literal: literal)
  }

  private func digit() -> UInt8? {
    guard index < bytes.count, case let value = bytes[index] &- 0x30, value < 10 else { return nil }
    return value
  }

  private mutating func digitsOfFractionOrExponent(of start: Int) throws(JSONError) {
    guard digit() != nil else { throw JSONError(.badNumber, offset: start) }
    while digit() != nil { index += 1 }
  }

  private mutating func string() throws(JSONError) -> String {
    let start = index
    index += 1
    let first = index
    skipPlainCharacters()
    guard index < bytes.count else { throw JSONError(.endOfInput, offset: index) }
    let text: String?
    if bytes[index] == UInt8(ascii: "\"") {
      text = Self.validated(UnsafeBufferPointer(rebasing: bytes[first..<index]))
    } else {
      decoded.removeAll(keepingCapacity: true)
      decoded.append(contentsOf: bytes[first..<index])
      try decodeRest()
      text = decoded.withUnsafeBufferPointer(Self.validated)
    }
    index += 1
    guard let text else { throw JSONError(.invalidUTF8, offset: start) }
    return text
  }

  private static func validated(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
    guard let span = try? UTF8Span(validating: bytes.span) else { return nil }
    return String(copying: span)
  }

  /// Stops at a quotation mark, a backslash, a control character or the end. Tests eight bytes at a time: the lowest
  /// high bit in the mask marks the first of these characters (Mycroft's test for a zero byte).
  private mutating func skipPlainCharacters() {
    let ones: UInt64 = 0x0101_0101_0101_0101
    while index + 8 <= bytes.count {
      let word = UnsafeRawPointer(bytes.baseAddress! + index).loadUnaligned(as: UInt64.self)
      let quotes = word ^ (ones &* 0x22)
      let backslashes = word ^ (ones &* 0x5C)
      let mask =
        (((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes) | ((word &- ones &* 0x20) & ~word))
        & (ones &* 0x80)
      if mask != 0 {
        index += mask.trailingZeroBitCount / 8
        return
      }
      index += 8
    }
    while index < bytes.count, case let byte = bytes[index], byte >= 0x20, byte != 0x22, byte != 0x5C { index += 1 }
  }

  /// Appends to `decoded` up to the closing quotation mark.
  private mutating func decodeRest() throws(JSONError) {
    while true {
      guard index < bytes.count else { throw JSONError(.endOfInput, offset: index) }
      switch bytes[index] {
      case UInt8(ascii: "\""): return
      case UInt8(ascii: "\\"): try decodeEscape()
      case 0..<0x20: throw JSONError(.controlCharacter, offset: index)
      default:
        let first = index
        skipPlainCharacters()
        decoded.append(contentsOf: bytes[first..<index])
      }
    }
  }

  private mutating func decodeEscape() throws(JSONError) {
    guard index + 1 < bytes.count else { throw JSONError(.endOfInput, offset: index) }
    let escape = bytes[index + 1]
    switch escape {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(escape)
    case UInt8(ascii: "b"): decoded.append(0x08)
    case UInt8(ascii: "f"): decoded.append(0x0C)
    case UInt8(ascii: "n"): decoded.append(0x0A)
    case UInt8(ascii: "r"): decoded.append(0x0D)
    case UInt8(ascii: "t"): decoded.append(0x09)
    case UInt8(ascii: "u"): return try decodeUnicodeEscape()
    default: throw JSONError(.badEscape, offset: index)
    }
    index += 2
  }

  private mutating func decodeUnicodeEscape() throws(JSONError) {
    let start = index
    var scalar = try codeUnit(at: index)
    index += 6
    if (0xD800...0xDFFF).contains(scalar) {
      guard scalar < 0xDC00, index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"),
        bytes[index + 1] == UInt8(ascii: "u"), case let low = try codeUnit(at: index), (0xDC00...0xDFFF).contains(low)
      else { throw JSONError(.loneSurrogate, offset: start) }
      index += 6
      scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
    }
    decoded.append(contentsOf: UTF8.encode(Unicode.Scalar(scalar)!)!)
  }

  /// The code unit of `\uXXXX` at `start`.
  private func codeUnit(at start: Int) throws(JSONError) -> UInt32 {
    guard start + 6 <= bytes.count else { throw JSONError(.endOfInput, offset: start) }
    var value: UInt32 = 0
    for byte in bytes[start + 2..<start + 6] {
      switch byte {
      case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
      case 0x41...0x46: value = value << 4 | UInt32(byte - 0x37)
      case 0x61...0x66: value = value << 4 | UInt32(byte - 0x57)
      default: throw JSONError(.badEscape, offset: start)
      }
    }
    return value
  }

  // MARK: Position

  private mutating func skipBlanks() {
    while index < bytes.count, case let byte = bytes[index],
      byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    { index += 1 }
  }

  private mutating func next() throws(JSONError) -> UInt8 {
    skipBlanks()
    guard index < bytes.count else { throw JSONError(.endOfInput, offset: index) }
    return bytes[index]
  }

  private func unexpected() -> JSONError {
    let byte = bytes[index]
    let found =
      (0x21...0x7E).contains(byte)
      ? "“\(Character(Unicode.Scalar(byte)))”" : "byte 0x\(String(byte, radix: 16, uppercase: true))"
    return JSONError(.unexpected(found: found), offset: index)
  }
}

/// Detects duplicate names: compares while there are few members, hashes from 16 members on.
private struct NameSet {
  private var names: Set<String> = []

  mutating func insert(_ name: String, beside members: [JSONObject.Member]) -> Bool {
    if members.count < 16 { return !members.contains { $0.name == name } }
    if names.isEmpty { names = Set(members.map(\.name)) }
    return names.insert(name).inserted
  }
}
