import Base64

/// A message of Protocol Buffers, as protoc-gen-annals emits it (proto3; https://protobuf.dev/programming-guides/encoding).
public protocol ProtobufMessage: Sendable, Equatable {
  /// `package.Message`.
  static var protobufName: String { get }

  init()

  /// Writes the fields that do not have their default value, by number.
  func encode(to writer: inout ProtobufWriter)

  /// Reads one field. An unknown one is skipped.
  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError)
}

extension ProtobufMessage {
  /// - Throws: `ProtobufError` if the bytes are not a message.
  public init(protobuf bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
    self.init()
    var reader = ProtobufReader(bytes)
    try merge(&reader)
  }

  /// - Throws: `ProtobufError` if the bytes are not a message.
  public init(protobuf bytes: [UInt8]) throws(ProtobufError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(ProtobufError) in
      try Self(protobuf: UnsafeRawBufferPointer(bytes))
    }
  }

  public var protobuf: [UInt8] {
    var writer = ProtobufWriter()
    encode(to: &writer)
    return writer.bytes
  }

  mutating func merge(_ reader: inout ProtobufReader) throws(ProtobufError) {
    while let key = try reader.key() { try decode(key, from: &reader) }
  }
}

/// An enumeration. Numbers that this program does not know are kept.
public protocol ProtobufEnum: RawRepresentable, Sendable, Hashable where RawValue == Int32 {
  init(rawValue: Int32)
}

/// Why bytes are not a message.
public enum ProtobufError: Error, Equatable, CustomStringConvertible {
  case truncated
  case malformedNumber
  case malformedKey
  case invalidText
  case tooDeep

  public var description: String {
    switch self {
    case .truncated: "it ends within a field"
    case .malformedNumber: "a number has more than ten bytes"
    case .malformedKey: "a field has the number 0, or a wire type that there is not, or a group does not end"
    case .invalidText: "a string is not UTF-8"
    case .tooDeep: "messages lie in one another more than \(ProtobufReader.maximumDepth) times"
    }
  }
}

/// How the bytes of a field are laid out.
public enum ProtobufWireType: UInt8, Sendable {
  case varint = 0
  case fixed64 = 1
  case bytes = 2
  /// Of proto2, and not made any more: whoever reads skips it.
  case beginGroup = 3
  case endGroup = 4
  case fixed32 = 5
}

/// What stands before the bytes of a field.
public struct ProtobufKey: Sendable, Equatable {
  public let number: Int
  public let wireType: ProtobufWireType
}

/// How a file of definitions describes itself, for reflection.
public struct ProtobufFile: Sendable {
  /// `package/file.proto`.
  public let name: String
  /// A serialized `google.protobuf.FileDescriptorProto`.
  public let descriptor: [UInt8]
  public let imports: [ProtobufFile]

  public init(_ name: String, descriptor text: String, imports: [ProtobufFile] = []) {
    (self.name, self.imports) = (name, imports)
    descriptor = Base64.decodeLeniently(text.utf8) ?? []
  }
}
