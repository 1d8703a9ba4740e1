// Made from google/rpc/status.proto by `make protos`.
import Protobuf

/// `google.rpc`
enum GoogleRpcProto {
  static let file = ProtobufFile(
    "google/rpc/status.proto",
    descriptor:
      """
      Chdnb29nbGUvcnBjL3N0YXR1cy5wcm90bxIKZ29vZ2xlLnJwYyJkCgZTdGF0dXMSEgoEY29kZRgBIAEoBVIEY29kZRIYCgdtZXNz\
      YWdlGAIgASgJUgdtZXNzYWdlEiwKB2RldGFpbHMYAyADKAsyEi5nb29nbGUucnBjLkRldGFpbFIHZGV0YWlscyI5CgZEZXRhaWwS\
      GQoIdHlwZV91cmwYASABKAlSB3R5cGVVcmwSFAoFdmFsdWUYAiABKAxSBXZhbHVlIrkBCglFcnJvckluZm8SFgoGcmVhc29uGAEg\
      ASgJUgZyZWFzb24SFgoGZG9tYWluGAIgASgJUgZkb21haW4SPwoIbWV0YWRhdGEYAyADKAsyIy5nb29nbGUucnBjLkVycm9ySW5m\
      by5NZXRhZGF0YUVudHJ5UghtZXRhZGF0YRo7Cg1NZXRhZGF0YUVudHJ5EhAKA2tleRgBIAEoCVIDa2V5EhQKBXZhbHVlGAIgASgJ\
      UgV2YWx1ZToCOAEiqAEKCkJhZFJlcXVlc3QSUAoQZmllbGRfdmlvbGF0aW9ucxgBIAMoCzIlLmdvb2dsZS5ycGMuQmFkUmVxdWVz\
      dC5GaWVsZFZpb2xhdGlvblIPZmllbGRWaW9sYXRpb25zGkgKDkZpZWxkVmlvbGF0aW9uEhQKBWZpZWxkGAEgASgJUgVmaWVsZBIg\
      CgtkZXNjcmlwdGlvbhgCIAEoCVILZGVzY3JpcHRpb24ivQEKE1ByZWNvbmRpdGlvbkZhaWx1cmUSSQoKdmlvbGF0aW9ucxgBIAMo\
      CzIpLmdvb2dsZS5ycGMuUHJlY29uZGl0aW9uRmFpbHVyZS5WaW9sYXRpb25SCnZpb2xhdGlvbnMaWwoJVmlvbGF0aW9uEhIKBHR5\
      cGUYASABKAlSBHR5cGUSGAoHc3ViamVjdBgCIAEoCVIHc3ViamVjdBIgCgtkZXNjcmlwdGlvbhgDIAEoCVILZGVzY3JpcHRpb24i\
      QgoJUmV0cnlJbmZvEjUKC3JldHJ5X2RlbGF5GAEgASgLMhQuZ29vZ2xlLnJwYy5EdXJhdGlvblIKcmV0cnlEZWxheSI6CghEdXJh\
      dGlvbhIYCgdzZWNvbmRzGAEgASgDUgdzZWNvbmRzEhQKBW5hbm9zGAIgASgFUgVuYW5vc2IGcHJvdG8z
      """, imports: [])

  struct Status: ProtobufMessage {
    static let protobufName = "google.rpc.Status"

    var code: Int32 = 0
    var message: String = ""
    var details: [GoogleRpcProto.Detail] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, code, as: Protobuf.Int32.self)
      writer.field(2, message, as: Protobuf.String.self)
      writer.repeated(3, details, as: Protobuf.Message<GoogleRpcProto.Detail>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &code, as: Protobuf.Int32.self)
      case 2: try reader.field(key, into: &message, as: Protobuf.String.self)
      case 3: try reader.repeated(key, into: &details, as: Protobuf.Message<GoogleRpcProto.Detail>.self)
      default: try reader.skip(key)
      }
    }
  }

  struct Detail: ProtobufMessage {
    static let protobufName = "google.rpc.Detail"

    var typeUrl: String = ""
    var value: [UInt8] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, typeUrl, as: Protobuf.String.self)
      writer.field(2, value, as: Protobuf.Bytes.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &typeUrl, as: Protobuf.String.self)
      case 2: try reader.field(key, into: &value, as: Protobuf.Bytes.self)
      default: try reader.skip(key)
      }
    }
  }

  struct ErrorInfo: ProtobufMessage {
    static let protobufName = "google.rpc.ErrorInfo"

    var reason: String = ""
    var domain: String = ""
    var metadata: [String: String] = [:]

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, reason, as: Protobuf.String.self)
      writer.field(2, domain, as: Protobuf.String.self)
      writer.map(3, metadata, Protobuf.String.self, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &reason, as: Protobuf.String.self)
      case 2: try reader.field(key, into: &domain, as: Protobuf.String.self)
      case 3: try reader.map(key, into: &metadata, Protobuf.String.self, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  struct BadRequest: ProtobufMessage {
    static let protobufName = "google.rpc.BadRequest"

    struct FieldViolation: ProtobufMessage {
      static let protobufName = "google.rpc.BadRequest.FieldViolation"

      var field: String = ""
      var description: String = ""

      func encode(to writer: inout ProtobufWriter) {
        writer.field(1, field, as: Protobuf.String.self)
        writer.field(2, description, as: Protobuf.String.self)
      }

      mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
        switch key.number {
        case 1: try reader.field(key, into: &field, as: Protobuf.String.self)
        case 2: try reader.field(key, into: &description, as: Protobuf.String.self)
        default: try reader.skip(key)
        }
      }
    }

    var fieldViolations: [GoogleRpcProto.BadRequest.FieldViolation] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.repeated(1, fieldViolations, as: Protobuf.Message<GoogleRpcProto.BadRequest.FieldViolation>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1:
        try reader.repeated(
          key, into: &fieldViolations, as: Protobuf.Message<GoogleRpcProto.BadRequest.FieldViolation>.self)
      default: try reader.skip(key)
      }
    }
  }

  struct PreconditionFailure: ProtobufMessage {
    static let protobufName = "google.rpc.PreconditionFailure"

    struct Violation: ProtobufMessage {
      static let protobufName = "google.rpc.PreconditionFailure.Violation"

      var type: String = ""
      var subject: String = ""
      var description: String = ""

      func encode(to writer: inout ProtobufWriter) {
        writer.field(1, type, as: Protobuf.String.self)
        writer.field(2, subject, as: Protobuf.String.self)
        writer.field(3, description, as: Protobuf.String.self)
      }

      mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
        switch key.number {
        case 1: try reader.field(key, into: &type, as: Protobuf.String.self)
        case 2: try reader.field(key, into: &subject, as: Protobuf.String.self)
        case 3: try reader.field(key, into: &description, as: Protobuf.String.self)
        default: try reader.skip(key)
        }
      }
    }

    var violations: [GoogleRpcProto.PreconditionFailure.Violation] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.repeated(1, violations, as: Protobuf.Message<GoogleRpcProto.PreconditionFailure.Violation>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1:
        try reader.repeated(
          key, into: &violations, as: Protobuf.Message<GoogleRpcProto.PreconditionFailure.Violation>.self)
      default: try reader.skip(key)
      }
    }
  }

  struct RetryInfo: ProtobufMessage {
    static let protobufName = "google.rpc.RetryInfo"

    var retryDelay: GoogleRpcProto.Duration? = nil

    func encode(to writer: inout ProtobufWriter) {
      writer.present(1, retryDelay, as: Protobuf.Message<GoogleRpcProto.Duration>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.present(key, into: &retryDelay, as: Protobuf.Message<GoogleRpcProto.Duration>.self)
      default: try reader.skip(key)
      }
    }
  }

  struct Duration: ProtobufMessage {
    static let protobufName = "google.rpc.Duration"

    var seconds: Int64 = 0
    var nanos: Int32 = 0

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, seconds, as: Protobuf.Int64.self)
      writer.field(2, nanos, as: Protobuf.Int32.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &seconds, as: Protobuf.Int64.self)
      case 2: try reader.field(key, into: &nanos, as: Protobuf.Int32.self)
      default: try reader.skip(key)
      }
    }
  }
}
