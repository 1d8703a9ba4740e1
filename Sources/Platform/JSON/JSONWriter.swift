/// Writes compact JSON into its own buffer. Escapes only the characters for which JSON requires it.
public struct JSONWriter: Sendable {
  public private(set) var bytes: [UInt8] = []
  /// True if the next member or element is the first of its container.
  private var isFirst = true

  public init(reserving count: Int = 512) { bytes.reserveCapacity(count) }

  // MARK: Containers

  public mutating func object<E>(_ body: (inout JSONWriter) throws(E) -> Void) throws(E) {
    bytes.append(UInt8(ascii: "{"))
    isFirst = true
    try body(&self)
    bytes.append(UInt8(ascii: "}"))
    isFirst = false
  }

  public mutating func array<E>(_ body: (inout JSONWriter) throws(E) -> Void) throws(E) {
    bytes.append(UInt8(ascii: "["))
    isFirst = true
    try body(&self)
    bytes.append(UInt8(ascii: "]"))
    isFirst = false
  }

  /// Starts an element of an array; its value comes next.
  public mutating func element() {
    if !isFirst { bytes.append(UInt8(ascii: ",")) }
    isFirst = false
  }

  /// Starts a member of an object; its value comes next.
  public mutating func name(_ name: String) {
    element()
    string(name)
    bytes.append(UInt8(ascii: ":"))
  }

  public mutating func member(_ name: String, _ value: String) {
    self.name(name)
    string(value)
  }

  public mutating func member(_ name: String, _ value: some FixedWidthInteger) {
    self.name(name)
    integer(Int64(value))
  }

  public mutating func member(_ name: String, _ texts: [String]) { array(name, of: texts) { $0.string($1) } }

  /// Writes a member that is an array; `write` writes the value of each element.
  @inlinable
  public mutating func array<Elements: Sequence, E>(
    _ name: String, of elements: Elements, _ write: (inout JSONWriter, Elements.Element) throws(E) -> Void
  ) throws(E) {
    self.name(name)
    try array { (writer) throws(E) in
      for element in elements {
        writer.element()
        try write(&writer, element)
      }
    }
  }

  /// Writes a member that is an array of objects; `write` writes the members of each.
  @inlinable
  public mutating func objects<Elements: Sequence, E>(
    _ name: String, of elements: Elements, _ write: (inout JSONWriter, Elements.Element) throws(E) -> Void
  ) throws(E) {
    try array(name, of: elements) { (writer, element) throws(E) in
      try writer.object { (writer) throws(E) in try write(&writer, element) }
    }
  }

  public mutating func member(_ name: String, _ value: Bool) {
    self.name(name)
    bool(value)
  }

  public mutating func member(_ name: String, _ value: JSONValue) {
    self.name(name)
    self.value(value)
  }

  /// Writes null if `value` is nil.
  public mutating func member(_ name: String, orNull value: String?) {
    self.name(name)
    if let value { string(value) } else { null() }
  }

  // MARK: Values

  public mutating func null() { raw("null") }
  public mutating func bool(_ value: Bool) { raw(value ? "true" : "false") }

  public mutating func integer(_ value: Int64) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
      var magnitude = value.magnitude
      var first = 20
      repeat {
        first -= 1
        digits[first] = 0x30 + UInt8(truncatingIfNeeded: magnitude % 10)
        magnitude /= 10
      } while magnitude > 0
      if value < 0 {
        first -= 1
        digits[first] = UInt8(ascii: "-")
      }
      bytes.append(contentsOf: UnsafeBufferPointer(rebasing: digits[first...]))
    }
    isFirst = false
  }

  /// Writes the shortest text that reads back as `value`; null for infinities and NaN.
  public mutating func double(_ value: Double) {
    guard value.isFinite else { return null() }
    bytes.append(contentsOf: value.description.utf8)
  }

  public mutating func value(_ value: JSONValue) {
    switch value {
    case .null: null()
    case .bool(let value): bool(value)
    case .integer(let value): integer(value)
    case .number(let literal): bytes.append(contentsOf: literal.utf8)
    case .string(let value): string(value)
    case .array(let elements):
      array { writer in
        for value in elements {
          writer.element()
          writer.value(value)
        }
      }
    case .object(let object):
      self.object { writer in
        for member in object.members { writer.member(member.name, member.value) }
      }
    }
  }

  /// Appends bytes that are JSON already.
  public mutating func splice(_ json: some Collection<UInt8>) {
    bytes.append(contentsOf: json)
    isFirst = false
  }

  /// Appends bytes that are JSON already.
  public mutating func splice(_ json: UnsafeRawBufferPointer) {
    bytes.append(contentsOf: json)
    isFirst = false
  }

  /// Appends bytes that are JSON already.
  public mutating func splice(_ json: [UInt8]) {
    bytes.append(contentsOf: json)
    isFirst = false
  }

  /// Appends the members of an object that is JSON text already, inside an object of this writer.
  public mutating func spliceMembers(of object: [UInt8]) {
    let members = object.dropFirst().dropLast()
    guard !members.isEmpty else { return }
    element()
    bytes.append(contentsOf: members)
  }

  public mutating func raw(_ json: StaticString) {
    bytes.append(contentsOf: UnsafeBufferPointer(start: json.utf8Start, count: json.utf8CodeUnitCount))
    isFirst = false
  }

  public mutating func string(_ text: String) {
    var text = text
    text.withUTF8 { utf8(UnsafeRawBufferPointer($0)) }
  }

  /// Writes UTF-8 as a string. The caller guarantees that it is valid.
  public mutating func utf8(_ text: UnsafeRawBufferPointer) {
    bytes.append(UInt8(ascii: "\""))
    var copied = 0
    var index = 0
    while index < text.count {
      let byte = text[index]
      if byte < 0x20 || byte == 0x22 || byte == 0x5C {
        bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[copied..<index]))
        escape(byte)
        copied = index + 1
      }
      index += 1
    }
    bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[copied...]))
    bytes.append(UInt8(ascii: "\""))
    isFirst = false
  }

  private mutating func escape(_ byte: UInt8) {
    switch byte {
    case 0x22: raw("\\\"")
    case 0x5C: raw("\\\\")
    case 0x08: raw("\\b")
    case 0x09: raw("\\t")
    case 0x0A: raw("\\n")
    case 0x0C: raw("\\f")
    case 0x0D: raw("\\r")
    default:
      raw("\\u00")
      for digit in [byte >> 4, byte & 15] { bytes.append(digit < 10 ? 0x30 + digit : 0x57 + digit) }
    }
  }
}
