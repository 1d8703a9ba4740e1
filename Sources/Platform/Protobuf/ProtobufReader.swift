/// Reads the fields of a message. Every read is checked against the end of the bytes; nothing is trusted.
public struct ProtobufReader {
  /// As deep as other implementations read.
  static let maximumDepth = 100

  private var bytes: UnsafeRawBufferPointer
  private var place = 0
  private var depth = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  // MARK: Fields

  /// The next field's key; nil at the end.
  mutating func key() throws(ProtobufError) -> ProtobufKey? {
    guard place < bytes.count else { return nil }
    let start = place
    let key = UInt32(truncatingIfNeeded: try varint())
    // Five bytes have room for more bits than a key has: the others are ignored, as elsewhere.
    guard place - start <= 5, key >> 3 != 0, let type = ProtobufWireType(rawValue: UInt8(key & 7)) else {
      throw .malformedKey
    }
    return ProtobufKey(number: Int(key >> 3), wireType: type)
  }

  public mutating func skip(_ key: ProtobufKey) throws(ProtobufError) {
    switch key.wireType {
    case .varint: _ = try varint()
    case .fixed64: _ = try take(8)
    case .bytes: _ = try delimited()
    case .fixed32: _ = try take(4)
    case .beginGroup: try skipGroup(key.number)
    case .endGroup: throw .malformedKey
    }
  }

  private mutating func skipGroup(_ number: Int) throws(ProtobufError) {
    guard depth < Self.maximumDepth else { throw .tooDeep }
    depth += 1
    defer { depth -= 1 }
    while let key = try key() {
      if key.wireType == .endGroup {
        guard key.number == number else { throw .malformedKey }
        return
      }
      try skip(key)
    }
    throw .truncated
  }

  /// A field. One of another wire type is one that this program does not know.
  public mutating func field<Codec: ProtobufCodec>(
    _ key: ProtobufKey, into value: inout Codec.Value, as codec: Codec.Type
  ) throws(ProtobufError) {
    guard key.wireType == Codec.wireType else { return try skip(key) }
    try Codec.read(into: &value, from: &self)
  }

  /// A field that says whether it is there.
  public mutating func present<Codec: ProtobufCodec>(
    _ key: ProtobufKey, into value: inout Codec.Value?, as codec: Codec.Type
  ) throws(ProtobufError) {
    guard key.wireType == Codec.wireType else { return try skip(key) }
    var new = value ?? Codec.absent
    try Codec.read(into: &new, from: &self)
    value = new
  }

  /// One or several values of a repeated field, whether they are packed or not.
  public mutating func repeated<Codec: ProtobufCodec>(
    _ key: ProtobufKey, into values: inout [Codec.Value], as codec: Codec.Type
  ) throws(ProtobufError) {
    if key.wireType == Codec.wireType {
      var value = Codec.absent
      try Codec.read(into: &value, from: &self)
      values.append(value)
    } else if key.wireType == .bytes {
      var inner = ProtobufReader(try delimited())
      while inner.place < inner.bytes.count {
        var value = Codec.absent
        try Codec.read(into: &value, from: &inner)
        values.append(value)
      }
    } else {
      try skip(key)
    }
  }

  /// One entry of a map.
  public mutating func map<Key: ProtobufCodec, Codec: ProtobufCodec>(
    _ key: ProtobufKey, into values: inout [Key.Value: Codec.Value], _ keys: Key.Type, as codec: Codec.Type
  ) throws(ProtobufError) {
    guard key.wireType == .bytes else { return try skip(key) }
    var inner = try nested()
    var (name, value) = (Key.absent, Codec.absent)
    while let key = try inner.key() {
      switch key.number {
      case 1: try inner.field(key, into: &name, as: keys)
      case 2: try inner.field(key, into: &value, as: codec)
      default: try inner.skip(key)
      }
    }
    values[name] = value
  }

  // MARK: Bytes

  mutating func varint() throws(ProtobufError) -> UInt64 {
    var (value, shift): (UInt64, UInt64) = (0, 0)
    while true {
      guard place < bytes.count else { throw .truncated }
      let byte = bytes[place]
      place += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
      guard shift < 70 else { throw .malformedNumber }
    }
  }

  mutating func fixed<Number: FixedWidthInteger>() throws(ProtobufError) -> Number {
    Number(littleEndian: try take(Number.bitWidth / 8).loadUnaligned(as: Number.self))
  }

  mutating func delimited() throws(ProtobufError) -> UnsafeRawBufferPointer {
    let count = try varint()
    guard count <= UInt64(bytes.count - place) else { throw .truncated }
    return try take(Int(count))
  }

  mutating func nested() throws(ProtobufError) -> ProtobufReader {
    guard depth < Self.maximumDepth else { throw .tooDeep }
    var inner = ProtobufReader(try delimited())
    inner.depth = depth + 1
    return inner
  }

  private mutating func take(_ count: Int) throws(ProtobufError) -> UnsafeRawBufferPointer {
    guard count <= bytes.count - place else { throw .truncated }
    defer { place += count }
    return UnsafeRawBufferPointer(rebasing: bytes[place..<place + count])
  }
}
