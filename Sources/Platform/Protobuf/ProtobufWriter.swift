/// Writes the fields of a message.
public struct ProtobufWriter {
  public private(set) var bytes: [UInt8] = []

  public init() {}

  // MARK: Fields

  /// A field, unless it has its default value.
  public mutating func field<Codec: ProtobufCodec>(_ number: Int, _ value: Codec.Value, as codec: Codec.Type) {
    if !Codec.isAbsent(value) { present(number, value, as: codec) }
  }

  /// A field that says whether it is there, or one of a oneof.
  public mutating func present<Codec: ProtobufCodec>(_ number: Int, _ value: Codec.Value?, as codec: Codec.Type) {
    guard let value else { return }
    key(number, Codec.wireType)
    Codec.write(value, to: &self)
  }

  /// A repeated field, each value with a key of its own.
  public mutating func repeated<Codec: ProtobufCodec>(_ number: Int, _ values: [Codec.Value], as codec: Codec.Type) {
    for value in values { present(number, value, as: codec) }
  }

  /// A repeated field of numbers, all under one key.
  public mutating func packed<Codec: ProtobufCodec>(_ number: Int, _ values: [Codec.Value], as codec: Codec.Type) {
    guard !values.isEmpty else { return }
    key(number, .bytes)
    nested { writer in for value in values { Codec.write(value, to: &writer) } }
  }

  /// A map: messages with a key (1) and a value (2).
  public mutating func map<Key: ProtobufCodec, Codec: ProtobufCodec>(
    _ number: Int, _ values: [Key.Value: Codec.Value], _ keys: Key.Type, as codec: Codec.Type
  ) {
    for (name, value) in values {
      key(number, .bytes)
      nested { writer in
        writer.present(1, name, as: keys)
        writer.present(2, value, as: codec)
      }
    }
  }

  /// A field that is a message, written here.
  public mutating func message(_ number: Int, _ body: (inout ProtobufWriter) -> Void) {
    key(number, .bytes)
    nested(body)
  }

  // MARK: Bytes

  private mutating func key(_ number: Int, _ type: ProtobufWireType) {
    varint(UInt64(number) << 3 | UInt64(type.rawValue))
  }

  mutating func varint(_ value: UInt64) {
    var left = value
    while left >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: left) | 0x80)
      left >>= 7
    }
    bytes.append(UInt8(left))
  }

  mutating func fixed(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func delimited(_ content: some Collection<UInt8>) {
    varint(UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  mutating func nested(_ body: (inout ProtobufWriter) -> Void) {
    var inner = ProtobufWriter()
    body(&inner)
    delimited(inner.bytes)
  }
}
