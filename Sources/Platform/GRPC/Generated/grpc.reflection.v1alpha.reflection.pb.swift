// Made from grpc/reflection/v1alpha/reflection.proto by `make protos`.
import Protobuf

/// `grpc.reflection.v1alpha`
enum GrpcReflectionV1alphaProto {
  static let file = ProtobufFile(
    "grpc/reflection/v1alpha/reflection.proto",
    descriptor:
      """
      CihncnBjL3JlZmxlY3Rpb24vdjFhbHBoYS9yZWZsZWN0aW9uLnByb3RvEhdncnBjLnJlZmxlY3Rpb24udjFhbHBoYSL4AgoXU2Vy\
      dmVyUmVmbGVjdGlvblJlcXVlc3QSEgoEaG9zdBgBIAEoCVIEaG9zdBIqChBmaWxlX2J5X2ZpbGVuYW1lGAMgASgJSABSDmZpbGVC\
      eUZpbGVuYW1lEjYKFmZpbGVfY29udGFpbmluZ19zeW1ib2wYBCABKAlIAFIUZmlsZUNvbnRhaW5pbmdTeW1ib2wSZwoZZmlsZV9j\
      b250YWluaW5nX2V4dGVuc2lvbhgFIAEoCzIpLmdycGMucmVmbGVjdGlvbi52MWFscGhhLkV4dGVuc2lvblJlcXVlc3RIAFIXZmls\
      ZUNvbnRhaW5pbmdFeHRlbnNpb24SQgodYWxsX2V4dGVuc2lvbl9udW1iZXJzX29mX3R5cGUYBiABKAlIAFIZYWxsRXh0ZW5zaW9u\
      TnVtYmVyc09mVHlwZRIlCg1saXN0X3NlcnZpY2VzGAcgASgJSABSDGxpc3RTZXJ2aWNlc0IRCg9tZXNzYWdlX3JlcXVlc3QiZgoQ\
      RXh0ZW5zaW9uUmVxdWVzdBInCg9jb250YWluaW5nX3R5cGUYASABKAlSDmNvbnRhaW5pbmdUeXBlEikKEGV4dGVuc2lvbl9udW1i\
      ZXIYAiABKAVSD2V4dGVuc2lvbk51bWJlciLHBAoYU2VydmVyUmVmbGVjdGlvblJlc3BvbnNlEh0KCnZhbGlkX2hvc3QYASABKAlS\
      CXZhbGlkSG9zdBJbChBvcmlnaW5hbF9yZXF1ZXN0GAIgASgLMjAuZ3JwYy5yZWZsZWN0aW9uLnYxYWxwaGEuU2VydmVyUmVmbGVj\
      dGlvblJlcXVlc3RSD29yaWdpbmFsUmVxdWVzdBJrChhmaWxlX2Rlc2NyaXB0b3JfcmVzcG9uc2UYBCABKAsyLy5ncnBjLnJlZmxl\
      Y3Rpb24udjFhbHBoYS5GaWxlRGVzY3JpcHRvclJlc3BvbnNlSABSFmZpbGVEZXNjcmlwdG9yUmVzcG9uc2USdwoeYWxsX2V4dGVu\
      c2lvbl9udW1iZXJzX3Jlc3BvbnNlGAUgASgLMjAuZ3JwYy5yZWZsZWN0aW9uLnYxYWxwaGEuRXh0ZW5zaW9uTnVtYmVyUmVzcG9u\
      c2VIAFIbYWxsRXh0ZW5zaW9uTnVtYmVyc1Jlc3BvbnNlEmQKFmxpc3Rfc2VydmljZXNfcmVzcG9uc2UYBiABKAsyLC5ncnBjLnJl\
      ZmxlY3Rpb24udjFhbHBoYS5MaXN0U2VydmljZVJlc3BvbnNlSABSFGxpc3RTZXJ2aWNlc1Jlc3BvbnNlEk8KDmVycm9yX3Jlc3Bv\
      bnNlGAcgASgLMiYuZ3JwYy5yZWZsZWN0aW9uLnYxYWxwaGEuRXJyb3JSZXNwb25zZUgAUg1lcnJvclJlc3BvbnNlQhIKEG1lc3Nh\
      Z2VfcmVzcG9uc2UiTAoWRmlsZURlc2NyaXB0b3JSZXNwb25zZRIyChVmaWxlX2Rlc2NyaXB0b3JfcHJvdG8YASADKAxSE2ZpbGVE\
      ZXNjcmlwdG9yUHJvdG8iagoXRXh0ZW5zaW9uTnVtYmVyUmVzcG9uc2USJAoOYmFzZV90eXBlX25hbWUYASABKAlSDGJhc2VUeXBl\
      TmFtZRIpChBleHRlbnNpb25fbnVtYmVyGAIgAygFUg9leHRlbnNpb25OdW1iZXIiWQoTTGlzdFNlcnZpY2VSZXNwb25zZRJCCgdz\
      ZXJ2aWNlGAEgAygLMiguZ3JwYy5yZWZsZWN0aW9uLnYxYWxwaGEuU2VydmljZVJlc3BvbnNlUgdzZXJ2aWNlIiUKD1NlcnZpY2VS\
      ZXNwb25zZRISCgRuYW1lGAEgASgJUgRuYW1lIlMKDUVycm9yUmVzcG9uc2USHQoKZXJyb3JfY29kZRgBIAEoBVIJZXJyb3JDb2Rl\
      EiMKDWVycm9yX21lc3NhZ2UYAiABKAlSDGVycm9yTWVzc2FnZTKTAQoQU2VydmVyUmVmbGVjdGlvbhJ/ChRTZXJ2ZXJSZWZsZWN0\
      aW9uSW5mbxIwLmdycGMucmVmbGVjdGlvbi52MWFscGhhLlNlcnZlclJlZmxlY3Rpb25SZXF1ZXN0GjEuZ3JwYy5yZWZsZWN0aW9u\
      LnYxYWxwaGEuU2VydmVyUmVmbGVjdGlvblJlc3BvbnNlKAEwAWIGcHJvdG8z
      """, imports: [])

  struct ServerReflectionRequest: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1alpha.ServerReflectionRequest"

    enum MessageRequest: Sendable, Equatable {
      case fileByFilename(String)
      case fileContainingSymbol(String)
      case fileContainingExtension(GrpcReflectionV1alphaProto.ExtensionRequest)
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
        writer.present(5, value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ExtensionRequest>.self)
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
        var value: GrpcReflectionV1alphaProto.ExtensionRequest?
        if case .fileContainingExtension(let earlier) = messageRequest { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ExtensionRequest>.self)
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
    static let protobufName = "grpc.reflection.v1alpha.ExtensionRequest"

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
    static let protobufName = "grpc.reflection.v1alpha.ServerReflectionResponse"

    enum MessageResponse: Sendable, Equatable {
      case fileDescriptorResponse(GrpcReflectionV1alphaProto.FileDescriptorResponse)
      case allExtensionNumbersResponse(GrpcReflectionV1alphaProto.ExtensionNumberResponse)
      case listServicesResponse(GrpcReflectionV1alphaProto.ListServiceResponse)
      case errorResponse(GrpcReflectionV1alphaProto.ErrorResponse)
    }

    var validHost: String = ""
    var originalRequest: GrpcReflectionV1alphaProto.ServerReflectionRequest? = nil
    var messageResponse: MessageResponse? = nil

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, validHost, as: Protobuf.String.self)
      writer.present(2, originalRequest, as: Protobuf.Message<GrpcReflectionV1alphaProto.ServerReflectionRequest>.self)
      switch messageResponse {
      case .fileDescriptorResponse(let value):
        writer.present(4, value, as: Protobuf.Message<GrpcReflectionV1alphaProto.FileDescriptorResponse>.self)
      case .allExtensionNumbersResponse(let value):
        writer.present(5, value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ExtensionNumberResponse>.self)
      case .listServicesResponse(let value):
        writer.present(6, value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ListServiceResponse>.self)
      case .errorResponse(let value):
        writer.present(7, value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ErrorResponse>.self)
      case nil: break
      }
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &validHost, as: Protobuf.String.self)
      case 2:
        try reader.present(
          key, into: &originalRequest, as: Protobuf.Message<GrpcReflectionV1alphaProto.ServerReflectionRequest>.self)
      case 4:
        var value: GrpcReflectionV1alphaProto.FileDescriptorResponse?
        if case .fileDescriptorResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(
          key, into: &value, as: Protobuf.Message<GrpcReflectionV1alphaProto.FileDescriptorResponse>.self)
        if let value { messageResponse = .fileDescriptorResponse(value) }
      case 5:
        var value: GrpcReflectionV1alphaProto.ExtensionNumberResponse?
        if case .allExtensionNumbersResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(
          key, into: &value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ExtensionNumberResponse>.self)
        if let value { messageResponse = .allExtensionNumbersResponse(value) }
      case 6:
        var value: GrpcReflectionV1alphaProto.ListServiceResponse?
        if case .listServicesResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ListServiceResponse>.self)
        if let value { messageResponse = .listServicesResponse(value) }
      case 7:
        var value: GrpcReflectionV1alphaProto.ErrorResponse?
        if case .errorResponse(let earlier) = messageResponse { value = earlier }
        try reader.present(key, into: &value, as: Protobuf.Message<GrpcReflectionV1alphaProto.ErrorResponse>.self)
        if let value { messageResponse = .errorResponse(value) }
      default: try reader.skip(key)
      }
    }
  }

  struct FileDescriptorResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1alpha.FileDescriptorResponse"

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
    static let protobufName = "grpc.reflection.v1alpha.ExtensionNumberResponse"

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
    static let protobufName = "grpc.reflection.v1alpha.ListServiceResponse"

    var service: [GrpcReflectionV1alphaProto.ServiceResponse] = []

    func encode(to writer: inout ProtobufWriter) {
      writer.repeated(1, service, as: Protobuf.Message<GrpcReflectionV1alphaProto.ServiceResponse>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1:
        try reader.repeated(key, into: &service, as: Protobuf.Message<GrpcReflectionV1alphaProto.ServiceResponse>.self)
      default: try reader.skip(key)
      }
    }
  }

  struct ServiceResponse: ProtobufMessage {
    static let protobufName = "grpc.reflection.v1alpha.ServiceResponse"

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
    static let protobufName = "grpc.reflection.v1alpha.ErrorResponse"

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
      _ requests: RPCRequests<GrpcReflectionV1alphaProto.ServerReflectionRequest>, _ call: RPCCall,
      _ responses: RPCResponses<GrpcReflectionV1alphaProto.ServerReflectionResponse>) async throws
  }
}

extension GrpcReflectionV1alphaProto.ServerReflectionMethods {
  /// `grpc.reflection.v1alpha.ServerReflection`
  var service: RPCService {
    RPCService(
      "grpc.reflection.v1alpha.ServerReflection", file: GrpcReflectionV1alphaProto.file,
      methods: [
        .bidirectional("ServerReflectionInfo", serverReflectionInfo)
      ])
  }
}
