// Made from document.proto by `make protos`.
import GRPC
import Protobuf

/// `document`
enum DocumentProto {
  static let file = ProtobufFile(
    "document.proto",
    descriptor:
      """
      Cg5kb2N1bWVudC5wcm90bxIIZG9jdW1lbnQimwEKG1VwZGF0ZURvY3VtZW50U3RhdHVzUmVxdWVzdBIfCgtkb2N1bWVudF9pZBgB\
      IAEoCVIKZG9jdW1lbnRJZBIWCgZzdGF0dXMYAiABKAlSBnN0YXR1cxIuChBleHBlY3RlZF92ZXJzaW9uGAMgASgDSABSD2V4cGVj\
      dGVkVmVyc2lvbogBAUITChFfZXhwZWN0ZWRfdmVyc2lvbiI1ChJHZXREb2N1bWVudFJlcXVlc3QSHwoLZG9jdW1lbnRfaWQYASAB\
      KAlSCmRvY3VtZW50SWQiOAoVRG9jdW1lbnRFeGlzdHNSZXF1ZXN0Eh8KC2RvY3VtZW50X2lkGAEgASgJUgpkb2N1bWVudElkIjAK\
      FkRvY3VtZW50RXhpc3RzUmVzcG9uc2USFgoGZXhpc3RzGAEgASgIUgZleGlzdHMioQIKEERvY3VtZW50UmVzcG9uc2USDgoCaWQY\
      ASABKAlSAmlkEhQKBXRpdGxlGAIgASgJUgV0aXRsZRIWCgZzdGF0dXMYAyABKAlSBnN0YXR1cxIdCgpjcmVhdGVkX2J5GAQgASgJ\
      UgljcmVhdGVkQnkSIQoMY29udGVudF90eXBlGAUgASgJUgtjb250ZW50VHlwZRIhCgxjb250ZW50X3NpemUYBiABKANSC2NvbnRl\
      bnRTaXplEh0KCmNyZWF0ZWRfYXQYByABKAlSCWNyZWF0ZWRBdBIdCgp1cGRhdGVkX2F0GAggASgJUgl1cGRhdGVkQXQSEgoEdGFn\
      cxgJIAMoCVIEdGFncxIYCgd2ZXJzaW9uGAogASgFUgd2ZXJzaW9uIoQBChRXYXRjaERvY3VtZW50UmVxdWVzdBIfCgtkb2N1bWVu\
      dF9pZBgBIAEoCVIKZG9jdW1lbnRJZBImCgxmcm9tX3ZlcnNpb24YAiABKANIAFILZnJvbVZlcnNpb26IAQESEgoEZnJvbRgDIAEo\
      CVIEZnJvbUIPCg1fZnJvbV92ZXJzaW9uIuUCCg1Eb2N1bWVudEV2ZW50EhIKBHR5cGUYASABKAlSBHR5cGUSHwoLZG9jdW1lbnRf\
      aWQYAiABKAlSCmRvY3VtZW50SWQSFAoFdGl0bGUYAyABKAlSBXRpdGxlEh0KCm9sZF9zdGF0dXMYBCABKAlSCW9sZFN0YXR1cxId\
      CgpuZXdfc3RhdHVzGAUgASgJUgluZXdTdGF0dXMSGAoHdmVyc2lvbhgGIAEoA1IHdmVyc2lvbhIcCgl0aW1lc3RhbXAYByABKANS\
      CXRpbWVzdGFtcBIWCgZjdXJzb3IYCCABKAlSBmN1cnNvchIUCgVhY3RvchgJIAEoCVIFYWN0b3ISIQoMc2lnbmF0dXJlX2lkGAog\
      ASgJUgtzaWduYXR1cmVJZBIhCgxzaWduZXJfZW1haWwYCyABKAlSC3NpZ25lckVtYWlsEh8KC3NpZ25lcl9uYW1lGAwgASgJUgpz\
      aWduZXJOYW1lMtYCCg9Eb2N1bWVudFNlcnZpY2USWQoUVXBkYXRlRG9jdW1lbnRTdGF0dXMSJS5kb2N1bWVudC5VcGRhdGVEb2N1\
      bWVudFN0YXR1c1JlcXVlc3QaGi5kb2N1bWVudC5Eb2N1bWVudFJlc3BvbnNlEkcKC0dldERvY3VtZW50EhwuZG9jdW1lbnQuR2V0\
      RG9jdW1lbnRSZXF1ZXN0GhouZG9jdW1lbnQuRG9jdW1lbnRSZXNwb25zZRJTCg5Eb2N1bWVudEV4aXN0cxIfLmRvY3VtZW50LkRv\
      Y3VtZW50RXhpc3RzUmVxdWVzdBogLmRvY3VtZW50LkRvY3VtZW50RXhpc3RzUmVzcG9uc2USSgoNV2F0Y2hEb2N1bWVudBIeLmRv\
      Y3VtZW50LldhdGNoRG9jdW1lbnRSZXF1ZXN0GhcuZG9jdW1lbnQuRG9jdW1lbnRFdmVudDABYgZwcm90bzM=
      """, imports: [])

  struct UpdateDocumentStatusRequest: ProtobufMessage {
    static let protobufName = "document.UpdateDocumentStatusRequest"

    var documentId: String = ""
    var status: String = ""
    var expectedVersion: Int64? = nil

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, documentId, as: Protobuf.String.self)
      writer.field(2, status, as: Protobuf.String.self)
      writer.present(3, expectedVersion, as: Protobuf.Int64.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &documentId, as: Protobuf.String.self)
      case 2: try reader.field(key, into: &status, as: Protobuf.String.self)
      case 3: try reader.present(key, into: &expectedVersion, as: Protobuf.Int64.self)
      default: try reader.skip(key)
      }
    }
  }

  struct GetDocumentRequest: ProtobufMessage {
    static let protobufName = "document.GetDocumentRequest"

    var documentId: String = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, documentId, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &documentId, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  struct DocumentExistsRequest: ProtobufMessage {
    static let protobufName = "document.DocumentExistsRequest"

    var documentId: String = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, documentId, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &documentId, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  struct DocumentExistsResponse: ProtobufMessage {
    static let protobufName = "document.DocumentExistsResponse"

    var exists: Bool = false

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, exists, as: Protobuf.Bool.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &exists, as: Protobuf.Bool.self)
      default: try reader.skip(key)
      }
    }
  }

  struct DocumentResponse: ProtobufMessage {
    static let protobufName = "document.DocumentResponse"

    var id: String = ""
    var title: String = ""
    var status: String = ""
    var createdBy: String = ""
    var contentType: String = ""
    var contentSize: Int64 = 0
    var createdAt: String = ""
    var updatedAt: String = ""
    var tags: [String] = []
    var version: Int32 = 0

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, id, as: Protobuf.String.self)
      writer.field(2, title, as: Protobuf.String.self)
      writer.field(3, status, as: Protobuf.String.self)
      writer.field(4, createdBy, as: Protobuf.String.self)
      writer.field(5, contentType, as: Protobuf.String.self)
      writer.field(6, contentSize, as: Protobuf.Int64.self)
      writer.field(7, createdAt, as: Protobuf.String.self)
      writer.field(8, updatedAt, as: Protobuf.String.self)
      writer.repeated(9, tags, as: Protobuf.String.self)
      writer.field(10, version, as: Protobuf.Int32.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &id, as: Protobuf.String.self)
      case 2: try reader.field(key, into: &title, as: Protobuf.String.self)
      case 3: try reader.field(key, into: &status, as: Protobuf.String.self)
      case 4: try reader.field(key, into: &createdBy, as: Protobuf.String.self)
      case 5: try reader.field(key, into: &contentType, as: Protobuf.String.self)
      case 6: try reader.field(key, into: &contentSize, as: Protobuf.Int64.self)
      case 7: try reader.field(key, into: &createdAt, as: Protobuf.String.self)
      case 8: try reader.field(key, into: &updatedAt, as: Protobuf.String.self)
      case 9: try reader.repeated(key, into: &tags, as: Protobuf.String.self)
      case 10: try reader.field(key, into: &version, as: Protobuf.Int32.self)
      default: try reader.skip(key)
      }
    }
  }

  struct WatchDocumentRequest: ProtobufMessage {
    static let protobufName = "document.WatchDocumentRequest"

    var documentId: String = ""
    var fromVersion: Int64? = nil
    var from: String = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, documentId, as: Protobuf.String.self)
      writer.present(2, fromVersion, as: Protobuf.Int64.self)
      writer.field(3, from, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &documentId, as: Protobuf.String.self)
      case 2: try reader.present(key, into: &fromVersion, as: Protobuf.Int64.self)
      case 3: try reader.field(key, into: &from, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  struct DocumentEvent: ProtobufMessage {
    static let protobufName = "document.DocumentEvent"

    var type: String = ""
    var documentId: String = ""
    var title: String = ""
    var oldStatus: String = ""
    var newStatus: String = ""
    var version: Int64 = 0
    var timestamp: Int64 = 0
    var cursor: String = ""
    var actor: String = ""
    var signatureId: String = ""
    var signerEmail: String = ""
    var signerName: String = ""

    func encode(to writer: inout ProtobufWriter) {
      writer.field(1, type, as: Protobuf.String.self)
      writer.field(2, documentId, as: Protobuf.String.self)
      writer.field(3, title, as: Protobuf.String.self)
      writer.field(4, oldStatus, as: Protobuf.String.self)
      writer.field(5, newStatus, as: Protobuf.String.self)
      writer.field(6, version, as: Protobuf.Int64.self)
      writer.field(7, timestamp, as: Protobuf.Int64.self)
      writer.field(8, cursor, as: Protobuf.String.self)
      writer.field(9, actor, as: Protobuf.String.self)
      writer.field(10, signatureId, as: Protobuf.String.self)
      writer.field(11, signerEmail, as: Protobuf.String.self)
      writer.field(12, signerName, as: Protobuf.String.self)
    }

    mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
      switch key.number {
      case 1: try reader.field(key, into: &type, as: Protobuf.String.self)
      case 2: try reader.field(key, into: &documentId, as: Protobuf.String.self)
      case 3: try reader.field(key, into: &title, as: Protobuf.String.self)
      case 4: try reader.field(key, into: &oldStatus, as: Protobuf.String.self)
      case 5: try reader.field(key, into: &newStatus, as: Protobuf.String.self)
      case 6: try reader.field(key, into: &version, as: Protobuf.Int64.self)
      case 7: try reader.field(key, into: &timestamp, as: Protobuf.Int64.self)
      case 8: try reader.field(key, into: &cursor, as: Protobuf.String.self)
      case 9: try reader.field(key, into: &actor, as: Protobuf.String.self)
      case 10: try reader.field(key, into: &signatureId, as: Protobuf.String.self)
      case 11: try reader.field(key, into: &signerEmail, as: Protobuf.String.self)
      case 12: try reader.field(key, into: &signerName, as: Protobuf.String.self)
      default: try reader.skip(key)
      }
    }
  }

  protocol DocumentServiceMethods: Sendable {
    func updateDocumentStatus(_ request: DocumentProto.UpdateDocumentStatusRequest, _ call: RPCCall) async throws
      -> DocumentProto.DocumentResponse
    func getDocument(_ request: DocumentProto.GetDocumentRequest, _ call: RPCCall) async throws
      -> DocumentProto.DocumentResponse
    func documentExists(_ request: DocumentProto.DocumentExistsRequest, _ call: RPCCall) async throws
      -> DocumentProto.DocumentExistsResponse
    func watchDocument(
      _ request: DocumentProto.WatchDocumentRequest, _ call: RPCCall,
      _ responses: RPCResponses<DocumentProto.DocumentEvent>) async throws
  }
}

extension DocumentProto.DocumentServiceMethods {
  /// `document.DocumentService`
  var service: RPCService {
    RPCService(
      "document.DocumentService", file: DocumentProto.file,
      methods: [
        .unary("UpdateDocumentStatus", updateDocumentStatus),
        .unary("GetDocument", getDocument),
        .unary("DocumentExists", documentExists),
        .serverStreaming("WatchDocument", watchDocument),
      ])
  }
}
