import CGRPC
import Protobuf

extension grpc_slice {
  /// A slice with a copy of the bytes.
  init(_ bytes: some Collection<UInt8>) {
    let known = bytes.withContiguousStorageIfAvailable { Self.copied(UnsafeRawBufferPointer($0)) }
    self = known ?? Array(bytes).withUnsafeBytes { Self.copied($0) }
  }

  private static func copied(_ bytes: UnsafeRawBufferPointer) -> grpc_slice {
    grpc_slice_from_copied_buffer(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
  }

  /// Its bytes. A short slice holds them itself, so they cannot be had without a copy of it.
  var bytes: [UInt8] {
    withUnsafePointer(to: self) {
      Array(UnsafeRawBufferPointer(start: annals_slice_bytes($0), count: annals_slice_length($0)))
    }
  }

  var text: String {
    withUnsafePointer(to: self) {
      String(
        decoding: UnsafeRawBufferPointer(start: annals_slice_bytes($0), count: annals_slice_length($0)), as: UTF8.self)
    }
  }
}

/// A message's bytes, as gRPC holds them.
final class ByteBuffer: @unchecked Sendable {  // unchecked: constant
  let pointer: UnsafeMutablePointer<grpc_byte_buffer>

  init(taking pointer: UnsafeMutablePointer<grpc_byte_buffer>) { self.pointer = pointer }

  init(_ message: some ProtobufMessage) {
    var slice = grpc_slice(message.protobuf)
    // The buffer holds the slice by a reference of its own.
    pointer = grpc_raw_byte_buffer_create(&slice, 1)
    grpc_slice_unref(slice)
  }

  deinit { grpc_byte_buffer_destroy(pointer) }

  /// - Throws: `RPCError` if the bytes are not such a message.
  func message<Message: ProtobufMessage>(_ type: Message.Type = Message.self) throws(RPCError) -> Message {
    var reader = grpc_byte_buffer_reader()
    guard grpc_byte_buffer_reader_init(&reader, pointer) != 0 else {
      throw RPCError(.invalidArgument, "the message cannot be decompressed")
    }
    defer { grpc_byte_buffer_reader_destroy(&reader) }
    let all = grpc_byte_buffer_reader_readall(&reader)
    defer { grpc_slice_unref(all) }
    do {
      return try withUnsafePointer(to: all) { slice throws(ProtobufError) in
        try Message(
          protobuf: UnsafeRawBufferPointer(start: annals_slice_bytes(slice), count: annals_slice_length(slice)))
      }
    } catch { throw RPCError(.invalidArgument, "the message is not a \(Message.protobufName): \(error)") }
  }
}

/// Headers or trailers to send. They must live until they have been sent.
final class Metadata: @unchecked Sendable {  // unchecked: constant
  let pointer: UnsafeMutablePointer<grpc_metadata>?
  let count: Int

  static let none = Metadata([])

  /// - Parameter fields: Names in lower case; one that ends in `-bin` has bytes of any kind.
  init(_ fields: [(name: String, value: [UInt8])]) {
    count = fields.count
    guard count > 0 else {
      pointer = nil
      return
    }
    let memory = UnsafeMutablePointer<grpc_metadata>.allocate(capacity: count)
    for (index, field) in fields.enumerated() {
      var entry = grpc_metadata()
      entry.key = grpc_slice(field.name.utf8)
      entry.value = grpc_slice(field.value)
      (memory + index).initialize(to: entry)
    }
    pointer = memory
  }

  deinit {
    guard let pointer else { return }
    for index in 0..<count {
      grpc_slice_unref(pointer[index].key)
      grpc_slice_unref(pointer[index].value)
    }
    pointer.deallocate()
  }
}
