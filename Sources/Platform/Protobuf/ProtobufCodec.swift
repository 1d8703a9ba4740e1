/// How one value of a field's type is written and read.
public protocol ProtobufCodec {
  associatedtype Value: Sendable & Equatable
  static var wireType: ProtobufWireType { get }
  /// The value of a field that is not there.
  static var absent: Value { get }
  /// Whether a value is that one, to the bit.
  static func isAbsent(_ value: Value) -> Bool
  static func write(_ value: Value, to writer: inout ProtobufWriter)
  /// - Parameter value: As it is so far: a message is merged into it, everything else replaces it.
  static func read(into value: inout Value, from reader: inout ProtobufReader) throws(ProtobufError)
}

extension ProtobufCodec {
  public static func isAbsent(_ value: Value) -> Bool { value == absent }
}

/// The codecs, by the names that `.proto` files use.
public enum Protobuf {
  public enum Int32: ProtobufCodec {
    public static let wireType = ProtobufWireType.varint
    public static let absent: Swift.Int32 = 0
    public static func write(_ value: Swift.Int32, to writer: inout ProtobufWriter) {
      writer.varint(Swift.UInt64(bitPattern: Swift.Int64(value)))
    }
    public static func read(into value: inout Swift.Int32, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = Swift.Int32(truncatingIfNeeded: try reader.varint())
    }
  }

  public enum Int64: ProtobufCodec {
    public static let wireType = ProtobufWireType.varint
    public static let absent: Swift.Int64 = 0
    public static func write(_ value: Swift.Int64, to writer: inout ProtobufWriter) {
      writer.varint(Swift.UInt64(bitPattern: value))
    }
    public static func read(into value: inout Swift.Int64, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = Swift.Int64(bitPattern: try reader.varint())
    }
  }

  public enum UInt32: ProtobufCodec {
    public static let wireType = ProtobufWireType.varint
    public static let absent: Swift.UInt32 = 0
    public static func write(_ value: Swift.UInt32, to writer: inout ProtobufWriter) {
      writer.varint(Swift.UInt64(value))
    }
    public static func read(into value: inout Swift.UInt32, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = Swift.UInt32(truncatingIfNeeded: try reader.varint())
    }
  }

  public enum UInt64: ProtobufCodec {
    public static let wireType = ProtobufWireType.varint
    public static let absent: Swift.UInt64 = 0
    public static func write(_ value: Swift.UInt64, to writer: inout ProtobufWriter) { writer.varint(value) }
    public static func read(into value: inout Swift.UInt64, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = try reader.varint()
    }
  }

  /// Numbers around zero: 0, -1, 1, -2, … are 0, 1, 2, 3, ….
  public enum SInt32: ProtobufCodec {
    public static let wireType = ProtobufWireType.varint
    public static let absent: Swift.Int32 = 0
    public static func write(_ value: Swift.Int32, to writer: inout ProtobufWriter) {
      writer.varint(Swift.UInt64(Swift.UInt32(bitPattern: (value << 1) ^ (value >> 31))))
    }
    public static func read(into value: inout Swift.Int32, from reader: inout ProtobufReader) throws(ProtobufError) {
      let number = Swift.UInt32(truncatingIfNeeded: try reader.varint())
      value = Swift.Int32(bitPattern: number >> 1) ^ -Swift.Int32(number & 1)
    }
  }

  public enum SInt64: ProtobufCodec {
    public static let wireType = ProtobufWireType.varint
    public static let absent: Swift.Int64 = 0
    public static func write(_ value: Swift.Int64, to writer: inout ProtobufWriter) {
      writer.varint(Swift.UInt64(bitPattern: (value << 1) ^ (value >> 63)))
    }
    public static func read(into value: inout Swift.Int64, from reader: inout ProtobufReader) throws(ProtobufError) {
      let number = try reader.varint()
      value = Swift.Int64(bitPattern: number >> 1) ^ -Swift.Int64(number & 1)
    }
  }

  public enum Fixed32: ProtobufCodec {
    public static let wireType = ProtobufWireType.fixed32
    public static let absent: Swift.UInt32 = 0
    public static func write(_ value: Swift.UInt32, to writer: inout ProtobufWriter) { writer.fixed(value) }
    public static func read(into value: inout Swift.UInt32, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = try reader.fixed()
    }
  }

  public enum Fixed64: ProtobufCodec {
    public static let wireType = ProtobufWireType.fixed64
    public static let absent: Swift.UInt64 = 0
    public static func write(_ value: Swift.UInt64, to writer: inout ProtobufWriter) { writer.fixed(value) }
    public static func read(into value: inout Swift.UInt64, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = try reader.fixed()
    }
  }

  public enum SFixed32: ProtobufCodec {
    public static let wireType = ProtobufWireType.fixed32
    public static let absent: Swift.Int32 = 0
    public static func write(_ value: Swift.Int32, to writer: inout ProtobufWriter) { writer.fixed(value) }
    public static func read(into value: inout Swift.Int32, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = try reader.fixed()
    }
  }

  public enum SFixed64: ProtobufCodec {
    public static let wireType = ProtobufWireType.fixed64
    public static let absent: Swift.Int64 = 0
    public static func write(_ value: Swift.Int64, to writer: inout ProtobufWriter) { writer.fixed(value) }
    public static func read(into value: inout Swift.Int64, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = try reader.fixed()
    }
  }

  public enum Float: ProtobufCodec {
    public static let wireType = ProtobufWireType.fixed32
    public static let absent: Swift.Float = 0
    public static func isAbsent(_ value: Swift.Float) -> Swift.Bool { value.bitPattern == 0 }
    public static func write(_ value: Swift.Float, to writer: inout ProtobufWriter) { writer.fixed(value.bitPattern) }
    public static func read(into value: inout Swift.Float, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = Swift.Float(bitPattern: try reader.fixed())
    }
  }

  public enum Double: ProtobufCodec {
    public static let wireType = ProtobufWireType.fixed64
    public static let absent: Swift.Double = 0
    public static func isAbsent(_ value: Swift.Double) -> Swift.Bool { value.bitPattern == 0 }
    public static func write(_ value: Swift.Double, to writer: inout ProtobufWriter) { writer.fixed(value.bitPattern) }
    public static func read(into value: inout Swift.Double, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = Swift.Double(bitPattern: try reader.fixed())
    }
  }

  public enum Bool: ProtobufCodec {
    public static let wireType = ProtobufWireType.varint
    public static let absent = false
    public static func write(_ value: Swift.Bool, to writer: inout ProtobufWriter) { writer.varint(value ? 1 : 0) }
    public static func read(into value: inout Swift.Bool, from reader: inout ProtobufReader) throws(ProtobufError) {
      value = try reader.varint() != 0
    }
  }

  public enum String: ProtobufCodec {
    public static let wireType = ProtobufWireType.bytes
    public static let absent = ""
    public static func write(_ value: Swift.String, to writer: inout ProtobufWriter) { writer.delimited(value.utf8) }
    public static func read(into value: inout Swift.String, from reader: inout ProtobufReader) throws(ProtobufError) {
      guard let text = Swift.String(validating: try reader.delimited(), as: UTF8.self) else { throw .invalidText }
      value = text
    }
  }

  public enum Bytes: ProtobufCodec {
    public static let wireType = ProtobufWireType.bytes
    public static let absent: [UInt8] = []
    public static func write(_ value: [UInt8], to writer: inout ProtobufWriter) { writer.delimited(value) }
    public static func read(into value: inout [UInt8], from reader: inout ProtobufReader) throws(ProtobufError) {
      value = Array(try reader.delimited())
    }
  }

  public enum Enum<Value: ProtobufEnum>: ProtobufCodec {
    public static var wireType: ProtobufWireType { .varint }
    public static var absent: Value { Value(rawValue: 0) }
    public static func write(_ value: Value, to writer: inout ProtobufWriter) {
      Int32.write(value.rawValue, to: &writer)
    }
    public static func read(into value: inout Value, from reader: inout ProtobufReader) throws(ProtobufError) {
      var number: Swift.Int32 = 0
      try Int32.read(into: &number, from: &reader)
      value = Value(rawValue: number)
    }
  }

  public enum Message<Value: ProtobufMessage>: ProtobufCodec {
    public static var wireType: ProtobufWireType { .bytes }
    public static var absent: Value { Value() }
    public static func write(_ value: Value, to writer: inout ProtobufWriter) {
      writer.nested { value.encode(to: &$0) }
    }
    public static func read(into value: inout Value, from reader: inout ProtobufReader) throws(ProtobufError) {
      var inner = try reader.nested()
      try value.merge(&inner)
    }
  }
}
