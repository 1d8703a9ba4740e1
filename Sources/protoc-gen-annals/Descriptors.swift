import Protobuf

/// The parts of google/protobuf/compiler/plugin.proto and google/protobuf/descriptor.proto that the generator reads.
/// Both are proto2 files, and what reads them cannot be made from them before it is there.
struct GeneratorRequest: ProtobufMessage {
  static let protobufName = "google.protobuf.compiler.CodeGeneratorRequest"
  var names: [String] = []
  var parameter = ""
  /// Serialized: what describes itself later is copied, not read and written again.
  var files: [[UInt8]] = []

  func encode(to writer: inout ProtobufWriter) {}

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.repeated(key, into: &names, as: Protobuf.String.self)
    case 2: try reader.field(key, into: &parameter, as: Protobuf.String.self)
    case 15: try reader.repeated(key, into: &files, as: Protobuf.Bytes.self)
    default: try reader.skip(key)
    }
  }
}

struct GeneratorResponse: ProtobufMessage {
  static let protobufName = "google.protobuf.compiler.CodeGeneratorResponse"

  struct File: ProtobufMessage {
    static let protobufName = "google.protobuf.compiler.CodeGeneratorResponse.File"
    var name = ""
    var content = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, name, as: Protobuf.String.self)
      writer.field(15, content, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      try reader.skip(key)
    }
  }

  /// `FEATURE_PROTO3_OPTIONAL`
  private static let optionalFields: UInt64 = 1

  var error: String?
  var files: [File] = []

  func encode(to writer: inout ProtobufWriter) {
    writer.present(1, error, as: Protobuf.String.self)
    writer.field(2, Self.optionalFields, as: Protobuf.UInt64.self)
    writer.repeated(15, files, as: Protobuf.Message<File>.self)
  }

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    try reader.skip(key)
  }
}

/// A descriptor of a file without its `source_code_info`: comments and places are of no use to clients.
struct BareFile: ProtobufMessage {
  static let protobufName = FileDescriptor.protobufName
  private static let sourceInfo = 9
  private struct Field: Equatable {
    let number: Int
    let bytes: [UInt8]
  }
  private var fields: [Field] = []

  init() {}

  func encode(to writer: inout ProtobufWriter) {
    for field in fields { writer.present(field.number, field.bytes, as: Protobuf.Bytes.self) }
  }

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    var bytes: [UInt8] = []
    guard key.wireType == .bytes, key.number != Self.sourceInfo else { return try reader.skip(key) }
    try reader.field(key, into: &bytes, as: Protobuf.Bytes.self)
    fields.append(Field(number: key.number, bytes: bytes))
  }
}

/// A message that is read and never written.
protocol Descriptor: ProtobufMessage {}

extension Descriptor {
  static var protobufName: String { "google.protobuf.\(self)" }
  func encode(to writer: inout ProtobufWriter) {}
}

struct FileDescriptor: Descriptor {
  var name = ""
  var package = ""
  var imports: [String] = []
  var messages: [MessageDescriptor] = []
  var enums: [EnumDescriptor] = []
  var services: [ServiceDescriptor] = []

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.field(key, into: &package, as: Protobuf.String.self)
    case 3: try reader.repeated(key, into: &imports, as: Protobuf.String.self)
    case 4: try reader.repeated(key, into: &messages, as: Protobuf.Message<MessageDescriptor>.self)
    case 5: try reader.repeated(key, into: &enums, as: Protobuf.Message<EnumDescriptor>.self)
    case 6: try reader.repeated(key, into: &services, as: Protobuf.Message<ServiceDescriptor>.self)
    default: try reader.skip(key)
    }
  }
}

struct MessageDescriptor: Descriptor {
  var name = ""
  var fields: [FieldDescriptor] = []
  var messages: [MessageDescriptor] = []
  var enums: [EnumDescriptor] = []
  var oneofs: [NameDescriptor] = []
  var options = MessageOptions()

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.repeated(key, into: &fields, as: Protobuf.Message<FieldDescriptor>.self)
    case 3: try reader.repeated(key, into: &messages, as: Protobuf.Message<MessageDescriptor>.self)
    case 4: try reader.repeated(key, into: &enums, as: Protobuf.Message<EnumDescriptor>.self)
    case 7: try reader.field(key, into: &options, as: Protobuf.Message<MessageOptions>.self)
    case 8: try reader.repeated(key, into: &oneofs, as: Protobuf.Message<NameDescriptor>.self)
    default: try reader.skip(key)
    }
  }
}

struct MessageOptions: Descriptor {
  var isMapEntry = false

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    guard key.number == 7 else { return try reader.skip(key) }
    try reader.field(key, into: &isMapEntry, as: Protobuf.Bool.self)
  }
}

struct FieldDescriptor: Descriptor {
  var name = ""
  var number: Int32 = 0
  var label: Int32 = 0
  var type: Int32 = 0
  var typeName = ""
  var oneof: Int32?
  var isOptional = false
  var options: FieldOptions?

  var isRepeated: Bool { label == 3 }

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 3: try reader.field(key, into: &number, as: Protobuf.Int32.self)
    case 4: try reader.field(key, into: &label, as: Protobuf.Int32.self)
    case 5: try reader.field(key, into: &type, as: Protobuf.Int32.self)
    case 6: try reader.field(key, into: &typeName, as: Protobuf.String.self)
    case 8: try reader.present(key, into: &options, as: Protobuf.Message<FieldOptions>.self)
    case 9: try reader.present(key, into: &oneof, as: Protobuf.Int32.self)
    case 17: try reader.field(key, into: &isOptional, as: Protobuf.Bool.self)
    default: try reader.skip(key)
    }
  }
}

struct FieldOptions: Descriptor {
  var isPacked: Bool?

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    guard key.number == 2 else { return try reader.skip(key) }
    try reader.present(key, into: &isPacked, as: Protobuf.Bool.self)
  }
}

struct EnumDescriptor: Descriptor {
  var name = ""
  var values: [EnumValueDescriptor] = []

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.repeated(key, into: &values, as: Protobuf.Message<EnumValueDescriptor>.self)
    default: try reader.skip(key)
    }
  }
}

struct EnumValueDescriptor: Descriptor {
  var name = ""
  var number: Int32 = 0

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.field(key, into: &number, as: Protobuf.Int32.self)
    default: try reader.skip(key)
    }
  }
}

/// A oneof: nothing but its name is read.
struct NameDescriptor: Descriptor {
  var name = ""

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    guard key.number == 1 else { return try reader.skip(key) }
    try reader.field(key, into: &name, as: Protobuf.String.self)
  }
}

struct ServiceDescriptor: Descriptor {
  var name = ""
  var methods: [MethodDescriptor] = []

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.repeated(key, into: &methods, as: Protobuf.Message<MethodDescriptor>.self)
    default: try reader.skip(key)
    }
  }
}

struct MethodDescriptor: Descriptor {
  var name = ""
  var input = ""
  var output = ""
  var streamsRequests = false
  var streamsResponses = false

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.field(key, into: &input, as: Protobuf.String.self)
    case 3: try reader.field(key, into: &output, as: Protobuf.String.self)
    case 5: try reader.field(key, into: &streamsRequests, as: Protobuf.Bool.self)
    case 6: try reader.field(key, into: &streamsResponses, as: Protobuf.Bool.self)
    default: try reader.skip(key)
    }
  }
}
