// Made from grpc/health/v1/health.proto by `make protos`.
import Protobuf

/// `grpc.health.v1`
enum GrpcHealthV1Proto {
  static let file = ProtobufFile(
    "grpc/health/v1/health.proto",
    descriptor:
      """
      ChtncnBjL2hlYWx0aC92MS9oZWFsdGgucHJvdG8SDmdycGMuaGVhbHRoLnYxIi4KEkhlYWx0aENoZWNrUmVxdWVzdBIYCgdzZXJ2\
      aWNlGAEgASgJUgdzZXJ2aWNlIrEBChNIZWFsdGhDaGVja1Jlc3BvbnNlEkkKBnN0YXR1cxgBIAEoDjIxLmdycGMuaGVhbHRoLnYx\
      LkhlYWx0aENoZWNrUmVzcG9uc2UuU2VydmluZ1N0YXR1c1IGc3RhdHVzIk8KDVNlcnZpbmdTdGF0dXMSCwoHVU5LTk9XThAAEgsK\
      B1NFUlZJTkcQARIPCgtOT1RfU0VSVklORxACEhMKD1NFUlZJQ0VfVU5LTk9XThADMq4BCgZIZWFsdGgSUAoFQ2hlY2sSIi5ncnBj\
      LmhlYWx0aC52MS5IZWFsdGhDaGVja1JlcXVlc3QaIy5ncnBjLmhlYWx0aC52MS5IZWFsdGhDaGVja1Jlc3BvbnNlElIKBVdhdGNo\
      EiIuZ3JwYy5oZWFsdGgudjEuSGVhbHRoQ2hlY2tSZXF1ZXN0GiMuZ3JwYy5oZWFsdGgudjEuSGVhbHRoQ2hlY2tSZXNwb25zZTAB\
      YgZwcm90bzM=
      """, imports: [])

  struct HealthCheckRequest: ProtobufMessage {
    static let protobufName = "grpc.health.v1.HealthCheckRequest"

    var service: String = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, service, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &service, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  struct HealthCheckResponse: ProtobufMessage {
    static let protobufName = "grpc.health.v1.HealthCheckResponse"

    struct ServingStatus: ProtobufEnum {
      let rawValue: Int32

      static let unknown = Self(rawValue: 0)
      static let serving = Self(rawValue: 1)
      static let notServing = Self(rawValue: 2)
      static let serviceUnknown = Self(rawValue: 3)
    }

    var status: GrpcHealthV1Proto.HealthCheckResponse.ServingStatus = GrpcHealthV1Proto.HealthCheckResponse
      .ServingStatus(rawValue: 0)

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, status, as: Protobuf.Enum<GrpcHealthV1Proto.HealthCheckResponse.ServingStatus>.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1:
        try reader.field(
          key, into: &status, as: Protobuf.Enum<GrpcHealthV1Proto.HealthCheckResponse.ServingStatus>.self)
      default: try reader.skip(key)
      }
    }
  }

  protocol HealthMethods: Sendable {
    func check(_ request: GrpcHealthV1Proto.HealthCheckRequest, _ call: RPCCall) async throws
      -> GrpcHealthV1Proto.HealthCheckResponse
    func watch(
      _ request: GrpcHealthV1Proto.HealthCheckRequest, _ call: RPCCall,
      _ responses: RPCResponses<GrpcHealthV1Proto.HealthCheckResponse>) async throws
  }
}

extension GrpcHealthV1Proto.HealthMethods {
  /// `grpc.health.v1.Health`
  var service: RPCService {
    RPCService(
      "grpc.health.v1.Health", file: GrpcHealthV1Proto.file,
      methods: [
        .unary("Check", check),
        .serverStreaming("Watch", watch),
      ])
  }
}
