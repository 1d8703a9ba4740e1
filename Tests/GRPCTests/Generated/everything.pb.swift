// Made from everything.proto by `make protos`.
import Protobuf

/// `everything`
enum EverythingProto {
  static let file = ProtobufFile(
    "everything.proto",
    descriptor:
      """
      ChBldmVyeXRoaW5nLnByb3RvEgpldmVyeXRoaW5nIucMCgNBbGwSGQoIYV9kb3VibGUYASABKAFSB2FEb3VibGUSFwoHYV9mbG9h\
      dBgCIAEoAlIGYUZsb2F0EhkKCGFuX2ludDMyGAMgASgFUgdhbkludDMyEhkKCGFuX2ludDY0GAQgASgDUgdhbkludDY0EhkKCGFf\
      dWludDMyGAUgASgNUgdhVWludDMyEhkKCGFfdWludDY0GAYgASgEUgdhVWludDY0EhkKCGFfc2ludDMyGAcgASgRUgdhU2ludDMy\
      EhkKCGFfc2ludDY0GAggASgSUgdhU2ludDY0EhsKCWFfZml4ZWQzMhgJIAEoB1IIYUZpeGVkMzISGwoJYV9maXhlZDY0GAogASgG\
      UghhRml4ZWQ2NBIdCgphX3NmaXhlZDMyGAsgASgPUglhU2ZpeGVkMzISHQoKYV9zZml4ZWQ2NBgMIAEoEFIJYVNmaXhlZDY0EhUK\
      BmFfYm9vbBgNIAEoCFIFYUJvb2wSGQoIYV9zdHJpbmcYDiABKAlSB2FTdHJpbmcSHQoKc29tZV9ieXRlcxgPIAEoDFIJc29tZUJ5\
      dGVzEicKBWNvbG9yGBAgASgOMhEuZXZlcnl0aGluZy5Db2xvclIFY29sb3ISKwoFaW5uZXIYESABKAsyFS5ldmVyeXRoaW5nLkFs\
      bC5Jbm5lclIFaW5uZXISJAoLbWF5YmVfaW50MzIYFCABKAVIAVIKbWF5YmVJbnQzMogBARImCgxtYXliZV9zdHJpbmcYFSABKAlI\
      AlILbWF5YmVTdHJpbmeIAQESIgoKbWF5YmVfYm9vbBgWIAEoCEgDUgltYXliZUJvb2yIAQESNwoLbWF5YmVfY29sb3IYFyABKA4y\
      ES5ldmVyeXRoaW5nLkNvbG9ySARSCm1heWJlQ29sb3KIAQESFgoGaW50MzJzGB4gAygFUgZpbnQzMnMSGAoHc2ludDY0cxgfIAMo\
      ElIHc2ludDY0cxIYCgdkb3VibGVzGCAgAygBUgdkb3VibGVzEhQKBWJvb2xzGCEgAygIUgVib29scxIYCgdzdHJpbmdzGCIgAygJ\
      UgdzdHJpbmdzEh0KCm1hbnlfYnl0ZXMYIyADKAxSCW1hbnlCeXRlcxIpCgZjb2xvcnMYJCADKA4yES5ldmVyeXRoaW5nLkNvbG9y\
      UgZjb2xvcnMSLQoGaW5uZXJzGCUgAygLMhUuZXZlcnl0aGluZy5BbGwuSW5uZXJSBmlubmVycxIYCgVsb29zZRgmIAMoBUICEABS\
      BWxvb3NlEjYKB251bWJlcnMYKCADKAsyHC5ldmVyeXRoaW5nLkFsbC5OdW1iZXJzRW50cnlSB251bWJlcnMSMAoFbmFtZXMYKSAD\
      KAsyGi5ldmVyeXRoaW5nLkFsbC5OYW1lc0VudHJ5UgVuYW1lcxI0CgdieV9ib29sGCogAygLMhsuZXZlcnl0aGluZy5BbGwuQnlC\
      b29sRW50cnlSBmJ5Qm9vbBIUCgRuYW1lGDIgASgJSABSBG5hbWUSGAoGbnVtYmVyGDMgASgESABSBm51bWJlchIvCgZuZXN0ZWQY\
      NCABKAsyFS5ldmVyeXRoaW5nLkFsbC5Jbm5lckgAUgZuZXN0ZWQSGAoGc3dpdGNoGDUgASgISABSBnN3aXRjaBImCgV0cmVlcxg8\
      IAMoCzIQLmV2ZXJ5dGhpbmcuVHJlZVIFdHJlZXMaOgoMTnVtYmVyc0VudHJ5EhAKA2tleRgBIAEoCVIDa2V5EhQKBXZhbHVlGAIg\
      ASgDUgV2YWx1ZToCOAEaOAoKTmFtZXNFbnRyeRIQCgNrZXkYASABKAVSA2tleRIUCgV2YWx1ZRgCIAEoCVIFdmFsdWU6AjgBGlAK\
      C0J5Qm9vbEVudHJ5EhAKA2tleRgBIAEoCFIDa2V5EisKBXZhbHVlGAIgASgLMhUuZXZlcnl0aGluZy5BbGwuSW5uZXJSBXZhbHVl\
      OgI4ARpcCgVJbm5lchISCgR0ZXh0GAEgASgJUgR0ZXh0EhYKBnZhbHVlcxgCIAMoA1IGdmFsdWVzEicKBWNvbG9yGAMgASgOMhEu\
      ZXZlcnl0aGluZy5Db2xvclIFY29sb3JCCAoGY2hvaWNlQg4KDF9tYXliZV9pbnQzMkIPCg1fbWF5YmVfc3RyaW5nQg0KC19tYXli\
      ZV9ib29sQg4KDF9tYXliZV9jb2xvciJICgRUcmVlEhIKBG5hbWUYASABKAlSBG5hbWUSLAoIYnJhbmNoZXMYAiADKAsyEC5ldmVy\
      eXRoaW5nLlRyZWVSCGJyYW5jaGVzKj8KBUNvbG9yEg4KCkNPTE9SX05PTkUQABINCglDT0xPUl9SRUQQARIXCgpDT0xPUl9CTFVF\
      EP3//////////wFiBnByb3RvMw==
      """, imports: [])

  struct Color: ProtobufEnum {
    let rawValue: Int32

    static let none = Self(rawValue: 0)
    static let red = Self(rawValue: 1)
    static let blue = Self(rawValue: -3)
  }

  struct All: ProtobufMessage {
    static let protobufName = "everything.All"

    struct Inner: ProtobufMessage {
      static let protobufName = "everything.All.Inner"

      var text: String = ""
      var values: [Int64] = []
      var color: EverythingProto.Color = EverythingProto.Color(rawValue: 0)

      func encode(to writer: inout ProtobufWriter) {
        writer.field(1, text, as: Protobuf.String.self)
        writer.packed(2, values, as: Protobuf.Int64.self)
        writer.field(3, color, as: Protobuf.Enum<EverythingProto.Color>.self)
      }

      mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
        switch key.number {
        case 1: try reader.field(key, into: &text, as: Protobuf.String.self)
        case 2: try reader.repeated(key, into: &values, as: Protobuf.Int64.self)
        case 3: try reader.field(key, into: &color, as: Protobuf.Enum<EverythingProto.Color>.self)
        default: try reader.skip(key)
        }
      }
    }

    enum Choice: Sendable, Equatable {
      case name(String)
      case number(UInt64)
      case nested(EverythingProto.All.Inner)
      case `switch`(Bool)
    }

    var aDouble: Double = 0
    var aFloat: Float = 0
    var anInt32: Int32 = 0
    var anInt64: Int64 = 0
    var aUint32: UInt32 = 0
    var aUint64: UInt64 = 0
    var aSint32: Int32 = 0
    var aSint64: Int64 = 0
    var aFixed32: UInt32 = 0
    var aFixed64: UInt64 = 0
    var aSfixed32: Int32 = 0
    var aSfixed64: Int64 = 0
    var aBool: Bool = false
    var aString: String = ""
    var someBytes: [UInt8] = []
    var color: EverythingProto.Color = EverythingProto.Color(rawValue: 0)
    var inner: EverythingProto.All.Inner? = nil
    var maybeInt32: Int32? = nil
    var maybeString: String? = nil
    var maybeBool: Bool? = nil
    var maybeColor: EverythingProto.Color? = nil
    var int32s: [Int32] = []
    var sint64s: [Int64] = []
    var doubles: [Double] = []
    var bools: [Bool] = []
    var strings: [String] = []
    var manyBytes: [[UInt8]] = []
    var colors: [EverythingProto.Color] = []
    var inners: [EverythingProto.All.Inner] = []
    var loose: [Int32] = []
    var numbers: [String: Int64] = [:]
    var names: [Int32: String] = [:]
    var byBool: [Bool: EverythingProto.All.Inner] = [:]
    var trees: [EverythingProto.Tree] = []
    var choice: Choice? = nil

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, aDouble, as: Protobuf.Double.self)
      writer.field(2, aFloat, as: Protobuf.Float.self)
      writer.field(3, anInt32, as: Protobuf.Int32.self)
      writer.field(4, anInt64, as: Protobuf.Int64.self)
      writer.field(5, aUint32, as: Protobuf.UInt32.self)
      writer.field(6, aUint64, as: Protobuf.UInt64.self)
      writer.field(7, aSint32, as: Protobuf.SInt32.self)
      writer.field(8, aSint64, as: Protobuf.SInt64.self)
      writer.field(9, aFixed32, as: Protobuf.Fixed32.self)
      writer.field(10, aFixed64, as: Protobuf.Fixed64.self)
      writer.field(11, aSfixed32, as: Protobuf.SFixed32.self)
      writer.field(12, aSfixed64, as: Protobuf.SFixed64.self)
      writer.field(13, aBool, as: Protobuf.Bool.self)
      writer.field(14, aString, as: Protobuf.String.self)
      writer.field(15, someBytes, as: Protobuf.Bytes.self)
      writer.field(16, color, as: Protobuf.Enum<EverythingProto.Color>.self)
      writer.present(17, inner, as: Protobuf.Message<EverythingProto.All.Inner>.self)
      writer.present(20, maybeInt32, as: Protobuf.Int32.self)
      writer.present(21, maybeString, as: Protobuf.String.self)
      writer.present(22, maybeBool, as: Protobuf.Bool.self)
      writer.present(23, maybeColor, as: Protobuf.Enum<EverythingProto.Color>.self)
      writer.packed(30, int32s, as: Protobuf.Int32.self)
      writer.packed(31, sint64s, as: Protobuf.SInt64.self)
      writer.packed(32, doubles, as: Protobuf.Double.self)
      writer.packed(33, bools, as: Protobuf.Bool.self)
      writer.repeated(34, strings, as: Protobuf.String.self)
      writer.repeated(35, manyBytes, as: Protobuf.Bytes.self)
      writer.packed(36, colors, as: Protobuf.Enum<EverythingProto.Color>.self)
      writer.repeated(37, inners, as: Protobuf.Message<EverythingProto.All.Inner>.self)
      writer.repeated(38, loose, as: Protobuf.Int32.self)
      writer.map(40, numbers, Protobuf.String.self, as: Protobuf.Int64.self)
      writer.map(41, names, Protobuf.Int32.self, as: Protobuf.String.self)
      writer.map(42, byBool, Protobuf.Bool.self, as: Protobuf.Message<EverythingProto.All.Inner>.self)
      writer.repeated(60, trees, as: Protobuf.Message<EverythingProto.Tree>.self)
      switch choice {
      case .name(let value): writer.present(50, value, as: Protobuf.String.self)
      case .number(let value): writer.present(51, value, as: Protobuf.UInt64.self)
      case .nested(let value): writer.present(52, value, as: Protobuf.Message<EverythingProto.All.Inner>.self)
      case .`switch`(let value): writer.present(53, value, as: Protobuf.Bool.self)
      case nil: break
      }
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &aDouble, as: Protobuf.Double.self)
      case 2: try reader.field(key, into: &aFloat, as: Protobuf.Float.self)
      case 3: try reader.field(key, into: &anInt32, as: Protobuf.Int32.self)
      case 4: try reader.field(key, into: &anInt64, as: Protobuf.Int64.self)
      case 5: try reader.field(key, into: &aUint32, as: Protobuf.UInt32.self)
      case 6: try reader.field(key, into: &aUint64, as: Protobuf.UInt64.self)
      case 7: try reader.field(key, into: &aSint32, as: Protobuf.SInt32.self)
      case 8: try reader.field(key, into: &aSint64, as: Protobuf.SInt64.self)
      case 9: try reader.field(key, into: &aFixed32, as: Protobuf.Fixed32.self)
      case 10: try reader.field(key, into: &aFixed64, as: Protobuf.Fixed64.self)
      case 11: try reader.field(key, into: &aSfixed32, as: Protobuf.SFixed32.self)
      case 12: try reader.field(key, into: &aSfixed64, as: Protobuf.SFixed64.self)
      case 13: try reader.field(key, into: &aBool, as: Protobuf.Bool.self)
      case 14: try reader.field(key, into: &aString, as: Protobuf.String.self)
      case 15: try reader.field(key, into: &someBytes, as: Protobuf.Bytes.self)
      case 16: try reader.field(key, into: &color, as: Protobuf.Enum<EverythingProto.Color>.self)
      case 17: try reader.present(key, into: &inner, as: Protobuf.Message<EverythingProto.All.Inner>.self)
      case 20: try reader.present(key, into: &maybeInt32, as: Protobuf.Int32.self)
      case 21: try reader.present(key, into: &maybeString, as: Protobuf.String.self)
      case 22: try reader.present(key, into: &maybeBool, as: Protobuf.Bool.self)
      case 23: try reader.present(key, into: &maybeColor, as: Protobuf.Enum<EverythingProto.Color>.self)
      case 30: try reader.repeated(key, into: &int32s, as: Protobuf.Int32.self)
      case 31: try reader.repeated(key, into: &sint64s, as: Protobuf.SInt64.self)
      case 32: try reader.repeated(key, into: &doubles, as: Protobuf.Double.self)
      case 33: try reader.repeated(key, into: &bools, as: Protobuf.Bool.self)
      case 34: try reader.repeated(key, into: &strings, as: Protobuf.String.self)
      case 35: try reader.repeated(key, into: &manyBytes, as: Protobuf.Bytes.self)
      case 36: try reader.repeated(key, into: &colors, as: Protobuf.Enum<EverythingProto.Color>.self)
      case 37: try reader.repeated(key, into: &inners, as: Protobuf.Message<EverythingProto.All.Inner>.self)
      case 38: try reader.repeated(key, into: &loose, as: Protobuf.Int32.self)
      case 40: try reader.map(key, into: &numbers, Protobuf.String.self, as: Protobuf.Int64.self)
      case 41: try reader.map(key, into: &names, Protobuf.Int32.self, as: Protobuf.String.self)
      case 42:
        try reader.map(key, into: &byBool, Protobuf.Bool.self, as: Protobuf.Message<EverythingProto.All.Inner>.self)
      case 60: try reader.repeated(key, into: &trees, as: Protobuf.Message<EverythingProto.Tree>.self)
      case 50:
        var value: String?
        if case .name(let earlier) = choice { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.String.self)
        if let value { choice = .name(value) }
      case 51:
        var value: UInt64?
        if case .number(let earlier) = choice { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.UInt64.self)
        if let value { choice = .number(value) }
      case 52:
        var value: EverythingProto.All.Inner?
        if case .nested(let earlier) = choice { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<EverythingProto.All.Inner>.self)
        if let value { choice = .nested(value) }
      case 53:
        var value: Bool?
        if case .`switch`(let earlier) = choice { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Bool.self)
        if let value { choice = .`switch`(value) }
      default: try reader.skip(key)
      }
    }
  }

  struct Tree: ProtobufMessage {
    static let protobufName = "everything.Tree"

    var name: String = ""
    var branches: [EverythingProto.Tree] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, name, as: Protobuf.String.self)
      writer.repeated(2, branches, as: Protobuf.Message<EverythingProto.Tree>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
      case 2: try reader.repeated(key, into: &branches, as: Protobuf.Message<EverythingProto.Tree>.self)
      default: try reader.skip(key)
      }
    }
  }
}
