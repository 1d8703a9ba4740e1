public import Protobuf

/// What a server offers under one name.
public struct RPCService: Sendable {
  /// `package.Service`
  public let name: String
  let file: ProtobufFile
  let methods: [RPCMethod]

  public init(_ name: String, file: ProtobufFile, methods: [RPCMethod]) {
    (self.name, self.file, self.methods) = (name, file, methods)
  }
}

/// One method of a service. The four kinds are made by what protoc-gen-annals emits.
public struct RPCMethod: Sendable {
  let name: String
  /// It may run for as long as the client likes: a server that stops ends it.
  let isStreaming: Bool
  /// Returns the answer of a call that has one.
  let run: @Sendable (ServerCall) async throws -> ByteBuffer?

  public static func unary<Input: ProtobufMessage, Output: ProtobufMessage>(
    _ name: String, _ body: @escaping @Sendable (Input, RPCCall) async throws -> Output
  ) -> RPCMethod {
    RPCMethod(name: name, isStreaming: false) { call in
      ByteBuffer(try await body(request(of: call), RPCCall(call)))
    }
  }

  public static func serverStreaming<Input: ProtobufMessage, Output: ProtobufMessage>(
    _ name: String, _ body: @escaping @Sendable (Input, RPCCall, RPCResponses<Output>) async throws -> Void
  ) -> RPCMethod {
    RPCMethod(name: name, isStreaming: true) { call in
      try await body(request(of: call), RPCCall(call), RPCResponses(call: call))
      return nil
    }
  }

  public static func clientStreaming<Input: ProtobufMessage, Output: ProtobufMessage>(
    _ name: String, _ body: @escaping @Sendable (RPCRequests<Input>, RPCCall) async throws -> Output
  ) -> RPCMethod {
    RPCMethod(name: name, isStreaming: true) { call in
      ByteBuffer(try await body(RPCRequests(call: call), RPCCall(call)))
    }
  }

  public static func bidirectional<Input: ProtobufMessage, Output: ProtobufMessage>(
    _ name: String,
    _ body: @escaping @Sendable (RPCRequests<Input>, RPCCall, RPCResponses<Output>) async throws -> Void
  ) -> RPCMethod {
    RPCMethod(name: name, isStreaming: true) { call in
      try await body(RPCRequests(call: call), RPCCall(call), RPCResponses(call: call))
      return nil
    }
  }

  private static func request<Input: ProtobufMessage>(of call: ServerCall) async throws -> Input {
    guard let buffer = try await call.receive() else {
      throw RPCError(.invalidArgument, "the call has no message, or one that is too large")
    }
    return try buffer.message()
  }
}

/// What a method may know of its call.
public struct RPCCall: Sendable {
  private let call: ServerCall

  init(_ call: ServerCall) { self.call = call }

  /// `/package.Service/Method`
  public var path: String { call.path }

  /// The caller's metadata, but for those of bytes.
  public var headers: [(name: String, value: String)] { call.headers }

  /// The client's address, without the port.
  public var clientAddress: String { Self.address(of: call.peer) }

  /// - Parameter peer: As gRPC has it: `ipv4:127.0.0.1:40000`, `ipv6:%5B::1%5D:40000`.
  public static func address(of peer: String) -> String {
    let parts = peer.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count > 2 else { return peer }
    let address = parts[1..<parts.count - 1].joined(separator: ":")
    return address.replacing("%5B", with: "").replacing("%5D", with: "")
  }
}

/// The messages of a client that sends several.
public struct RPCRequests<Message: ProtobufMessage>: Sendable {
  let call: ServerCall

  /// - Returns: nil after the last one.
  /// - Throws: `CancellationError` if the client has gone; `RPCError` if it is no such message.
  public func next() async throws -> Message? { try await call.receive()?.message() }
}

/// Answers of a call that has several, one after the other.
public struct RPCResponses<Message: ProtobufMessage>: Sendable {
  let call: ServerCall

  /// Tells the client that its call was accepted, before there is a message.
  public func accept() async throws {
    guard await call.sendHeaders() else { throw CancellationError() }
  }

  /// Returns when there is room for the next one. The server cuts off who takes nothing for `RPCServer.patience`.
  public func send(_ message: Message) async throws {
    guard await call.send(ByteBuffer(message)) else { throw CancellationError() }
  }
}
