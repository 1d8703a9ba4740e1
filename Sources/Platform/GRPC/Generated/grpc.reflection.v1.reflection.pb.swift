// Made from grpc/reflection/v1/reflection.proto by `make protos`.
import Protobuf

/// `grpc.reflection.v1`
enum GrpcReflectionV1Proto {
  static let file = ProtobufFile(
    "grpc/reflection/v1/reflection.proto",
    descriptor:
      """
      CiNncnBjL3JlZmxlY3Rpb24vdjEvcmVmbGVjdGlvbi5wcm90bxISZ3JwYy5yZWZsZWN0aW9uLnYxIvMCChdTZXJ2ZXJSZWZsZWN0\
      aW9uUmVxdWVzdBISCgRob3N0GAEgASgJUgRob3N0EioKEGZpbGVfYnlfZmlsZW5hbWUYAyABKAlIAFIOZmlsZUJ5RmlsZW5hbWUS\
      NgoWZmlsZV9jb250YWluaW5nX3N5bWJvbBgEIAEoCUgAUhRmaWxlQ29udGFpbmluZ1N5bWJvbBJiChlmaWxlX2NvbnRhaW5pbmdf\
      ZXh0ZW5zaW9uGAUgASgLMiQuZ3JwYy5yZWZsZWN0aW9uLnYxLkV4dGVuc2lvblJlcXVlc3RIAFIXZmlsZUNvbnRhaW5pbmdFeHRl\
      bnNpb24SQgodYWxsX2V4dGVuc2lvbl9udW1iZXJzX29mX3R5cGUYBiABKAlIAFIZYWxsRXh0ZW5zaW9uTnVtYmVyc09mVHlwZRIl\
      Cg1saXN0X3NlcnZpY2VzGAcgASgJSABSDGxpc3RTZXJ2aWNlc0IRCg9tZXNzYWdlX3JlcXVlc3QiZgoQRXh0ZW5zaW9uUmVxdWVz\
      dBInCg9jb250YWluaW5nX3R5cGUYASABKAlSDmNvbnRhaW5pbmdUeXBlEikKEGV4dGVuc2lvbl9udW1iZXIYAiABKAVSD2V4dGVu\
      c2lvbk51bWJlciKuBAoYU2VydmVyUmVmbGVjdGlvblJlc3BvbnNlEh0KCnZhbGlkX2hvc3QYASABKAlSCXZhbGlkSG9zdBJWChBv\
      cmlnaW5hbF9yZXF1ZXN0GAIgASgLMisuZ3JwYy5yZWZsZWN0aW9uLnYxLlNlcnZlclJlZmxlY3Rpb25SZXF1ZXN0Ug9vcmlnaW5h\
      bFJlcXVlc3QSZgoYZmlsZV9kZXNjcmlwdG9yX3Jlc3BvbnNlGAQgASgLMiouZ3JwYy5yZWZsZWN0aW9uLnYxLkZpbGVEZXNjcmlw\
      dG9yUmVzcG9uc2VIAFIWZmlsZURlc2NyaXB0b3JSZXNwb25zZRJyCh5hbGxfZXh0ZW5zaW9uX251bWJlcnNfcmVzcG9uc2UYBSAB\
      KAsyKy5ncnBjLnJlZmxlY3Rpb24udjEuRXh0ZW5zaW9uTnVtYmVyUmVzcG9uc2VIAFIbYWxsRXh0ZW5zaW9uTnVtYmVyc1Jlc3Bv\
      bnNlEl8KFmxpc3Rfc2VydmljZXNfcmVzcG9uc2UYBiABKAsyJy5ncnBjLnJlZmxlY3Rpb24udjEuTGlzdFNlcnZpY2VSZXNwb25z\
      ZUgAUhRsaXN0U2VydmljZXNSZXNwb25zZRJKCg5lcnJvcl9yZXNwb25zZRgHIAEoCzIhLmdycGMucmVmbGVjdGlvbi52MS5FcnJv\
      clJlc3BvbnNlSABSDWVycm9yUmVzcG9uc2VCEgoQbWVzc2FnZV9yZXNwb25zZSJMChZGaWxlRGVzY3JpcHRvclJlc3BvbnNlEjIK\
      FWZpbGVfZGVzY3JpcHRvcl9wcm90bxgBIAMoDFITZmlsZURlc2NyaXB0b3JQcm90byJqChdFeHRlbnNpb25OdW1iZXJSZXNwb25z\
      ZRIkCg5iYXNlX3R5cGVfbmFtZRgBIAEoCVIMYmFzZVR5cGVOYW1lEikKEGV4dGVuc2lvbl9udW1iZXIYAiADKAVSD2V4dGVuc2lv\
      bk51bWJlciJUChNMaXN0U2VydmljZVJlc3BvbnNlEj0KB3NlcnZpY2UYASADKAsyIy5ncnBjLnJlZmxlY3Rpb24udjEuU2Vydmlj\
      ZVJlc3BvbnNlUgdzZXJ2aWNlIiUKD1NlcnZpY2VSZXNwb25zZRISCgRuYW1lGAEgASgJUgRuYW1lIlMKDUVycm9yUmVzcG9uc2US\
      HQoKZXJyb3JfY29kZRgBIAEoBVIJZXJyb3JDb2RlEiMKDWVycm9yX21lc3NhZ2UYAiABKAlSDGVycm9yTWVzc2FnZTKJAQoQU2Vy\
      dmVyUmVmbGVjdGlvbhJ1ChRTZXJ2ZXJSZWZsZWN0aW9uSW5mbxIrLmdycGMucmVmbGVjdGlvbi52MS5TZXJ2ZXJSZWZsZWN0aW9u\
      UmVxdWVzdBosLmdycGMucmVmbGVjdGlvbi52MS5TZXJ2ZXJSZWZsZWN0aW9uUmVzcG9uc2UoATABYgZwcm90bzM=
      """, imports: [])

  struct ServerReflectionRequest: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.ServerReflectionRequest"

    enum MessageRequest: Sendable, Equatable {
      case fileByFilename(String)
      case fileContainingSymbol(String)
      case fileContainingExtension(GrpcReflectionV1Proto.ExtensionRequest)
      case allExtensionNumbersOfType(String)
      case listServices(String)
    }

    var host: String = ""
    var messageRequest: MessageRequest? = nil

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, host, as: Protobuf.String.self)
      switch messageRequest {
      case .fileByFilename(let value): writer.present(3, value, as: Protobuf.String.self)
      case .fileContainingSymbol(let value): writer.present(4, value, as: Protobuf.String.self)
      case .fileContainingExtension(let value):
        writer.present(5, value, as: Protobuf.Message<GrpcReflectionV1Proto.ExtensionRequest>.self)
      case .allExtensionNumbersOfType(let value): writer.present(6, value, as: Protobuf.String.self)
      case .listServices(let value): writer.present(7, value, as: Protobuf.String.self)
      case nil: break
      }
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &host, as: Protobuf.String.self)
      case 3:
        var value: String?
        if case .fileByFilename(let earlier) = messageRequest { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.String.self)
        if let value { messageRequest = .fileByFilename(value) }
      case 4:
        var value: String?
        if case .fileContainingSymbol(let earlier) = messageRequest { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.String.self)
        if let value { messageRequest = .fileContainingSymbol(value) }
      case 5:
        var value: GrpcReflectionV1Proto.ExtensionRequest?
        if case .fileContainingExtension(let earlier) = messageRequest { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1Proto.ExtensionRequest>.self)
        if let value { messageRequest = .fileContainingExtension(value) }
      case 6:
        var value: String?
        if case .allExtensionNumbersOfType(let earlier) = messageRequest { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.String.self)
        if let value { messageRequest = .allExtensionNumbersOfType(value) }
      case 7:
        var value: String?
        if case .listServices(let earlier) = messageRequest { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.String.self)
        if let value { messageRequest = .listServices(value) }
      default: try reader.skip(key)
      }
    }
  }

  struct ExtensionRequest: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.ExtensionRequest"

    var containingType: String = ""
    var extensionNumber: Int32 = 0

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, containingType, as: Protobuf.String.self)
      writer.field(2, extensionNumber, as: Protobuf.Int32.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &containingType, as: Protobuf.String.self)
      case 2: try reader.field(key, into: &extensionNumber, as: Protobuf.Int32.self)
      default: try reader.skip(key)
      }
    }
  }

  struct ServerReflectionResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.ServerReflectionResponse"

    enum MessageResponse: Sendable, Equatable {
      case fileDescriptorResponse(GrpcReflectionV1Proto.FileDescriptorResponse)
      case allExtensionNumbersResponse(GrpcReflectionV1Proto.ExtensionNumberResponse)
      case listServicesResponse(GrpcReflectionV1Proto.ListServiceResponse)
      case errorResponse(GrpcReflectionV1Proto.ErrorResponse)
    }

    var validHost: String = ""
    var originalRequest: GrpcReflectionV1Proto.ServerReflectionRequest? = nil
    var messageResponse: MessageResponse? = nil

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, validHost, as: Protobuf.String.self)
      writer.present(2, originalRequest, as: Protobuf.Message<GrpcReflectionV1Proto.ServerReflectionRequest>.self)
      switch messageResponse {
      case .fileDescriptorResponse(let value):
        writer.present(4, value, as: Protobuf.Message<GrpcReflectionV1Proto.FileDescriptorResponse>.self)
      case .allExtensionNumbersResponse(let value):
        writer.present(5, value, as: Protobuf.Message<GrpcReflectionV1Proto.ExtensionNumberResponse>.self)
      case .listServicesResponse(let value):
        writer.present(6, value, as: Protobuf.Message<GrpcReflectionV1Proto.ListServiceResponse>.self)
      case .errorResponse(let value):
        writer.present(7, value, as: Protobuf.Message<GrpcReflectionV1Proto.ErrorResponse>.self)
      case nil: break
      }
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &validHost, as: Protobuf.String.self)
      case 2:
        try reader.present(
          key, into: &originalRequest, as: Protobuf.Message<GrpcReflectionV1Proto.ServerReflectionRequest>.self)
      case 4:
        var value: GrpcReflectionV1Proto.FileDescriptorResponse?
        if case .fileDescriptorResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1Proto.FileDescriptorResponse>.self)
        if let value { messageResponse = .fileDescriptorResponse(value) }
      case 5:
        var value: GrpcReflectionV1Proto.ExtensionNumberResponse?
        if case .allExtensionNumbersResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1Proto.ExtensionNumberResponse>.self)
        if let value { messageResponse = .allExtensionNumbersResponse(value) }
      case 6:
        var value: GrpcReflectionV1Proto.ListServiceResponse?
        if case .listServicesResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1Proto.ListServiceResponse>.self)
        if let value { messageResponse = .listServicesResponse(value) }
      case 7:
        var value: GrpcReflectionV1Proto.ErrorResponse?
        if case .errorResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1Proto.ErrorResponse>.self)
        if let value { messageResponse = .errorResponse(value) }
      default: try reader.skip(key)
      }
    }
  }

  struct FileDescriptorResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.FileDescriptorResponse"

    var fileDescriptorProto: [[UInt8]] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.repeated(1, fileDescriptorProto, as: Protobuf.Bytes.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.repeated(key, into: &fileDescriptorProto, as: Protobuf.Bytes.self)
      default: try reader.skip(key)
      }
    }
  }

  struct ExtensionNumberResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.ExtensionNumberResponse"

    var baseTypeName: String = ""
    var extensionNumber: [Int32] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, baseTypeName, as: Protobuf.String.self)
      writer.packed(2, extensionNumber, as: Protobuf.Int32.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &baseTypeName, as: Protobuf.String.self)
      case 2: try reader.repeated(key, into: &extensionNumber, as: Protobuf.Int32.self)
      default: try reader.skip(key)
      }
    }
  }

  struct ListServiceResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.ListServiceResponse"

    var service: [GrpcReflectionV1Proto.ServiceResponse] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.repeated(1, service, as: Protobuf.Message<GrpcReflectionV1Proto.ServiceResponse>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.repeated(key, into: &service, as: Protobuf.Message<GrpcReflectionV1Proto.ServiceResponse>.self)
      default: try reader.skip(key)
      }
    }
  }

  struct ServiceResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.ServiceResponse"

    var name: String = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, name, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  struct ErrorResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1.ErrorResponse"

    var errorCode: Int32 = 0
    var errorMessage: String = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, errorCode, as: Protobuf.Int32.self)
      writer.field(2, errorMessage, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &errorCode, as: Protobuf.Int32.self)
      case 2: try reader.field(key, into: &errorMessage, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  protocol ServerReflectionMethods: Sendable {
    func serverReflectionInfo(
      _ requests: RPCRequests<GrpcReflectionV1Proto.ServerReflectionRequest>, _ call: RPCCall,
      _ responses: RPCResponses<GrpcReflectionV1Proto.ServerReflectionResponse>) async throws
  }
}

extension GrpcReflectionV1Proto.ServerReflectionMethods {
  /// `grpc.reflection.v1.ServerReflection`
  var service: RPCService {
    RPCService(
      "grpc.reflection.v1.ServerReflection", file: GrpcReflectionV1Proto.file,
      methods: [
        .bidirectional("ServerReflectionInfo", serverReflectionInfo)
      ])
  }
}
