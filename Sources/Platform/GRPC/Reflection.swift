import Protobuf

/// `grpc.reflection.v1` and `v1alpha`: the services of a server, and the files that describe them.
struct Reflection: GrpcReflectionV1Proto.ServerReflectionMethods {
  typealias Proto = GrpcReflectionV1Proto
  typealias Answer = Proto.ServerReflectionResponse.MessageResponse

  fileprivate let index: DescriptorIndex

  /// The two services that tell of `others` and of themselves.
  static func services(_ others: [RPCService]) -> [RPCService] {
    let older = "grpc.reflection.v1alpha.ServerReflection"
    // The last one has the details of errors, which clients want to read.
    let files = others.map(\.file) + [GrpcReflectionV1Proto.file, GrpcReflectionV1alphaProto.file, GoogleRpcProto.file]
    let names = others.map(\.name) + ["grpc.reflection.v1.ServerReflection", older]
    let current = Reflection(index: DescriptorIndex(files, services: names.sorted())).service
    // Older clients ask by another name; the messages are the same.
    return [current, RPCService(older, file: GrpcReflectionV1alphaProto.file, methods: current.methods)]
  }

  func serverReflectionInfo(
    _ requests: RPCRequests<Proto.ServerReflectionRequest>, _ call: RPCCall,
    _ responses: RPCResponses<Proto.ServerReflectionResponse>
  ) async throws {
    while let request = try await requests.next() {
      try await responses.send(
        .init(validHost: request.host, originalRequest: request, messageResponse: answer(request.messageRequest)))
    }
  }

  private func answer(_ request: Proto.ServerReflectionRequest.MessageRequest?) -> Answer {
    switch request {
    case .fileByFilename(let name): answer(index.files(named: name), name)
    case .fileContainingSymbol(let name): answer(index.files(with: name), name)
    case .listServices: .listServicesResponse(.init(service: index.services.map { .init(name: $0) }))
    case .fileContainingExtension(let asked):
      refusal(.notFound, "“\(asked.containingType.prefix(200))” has no extensions")
    case .allExtensionNumbersOfType(let type):
      index.files(with: type) == nil
        ? answer(nil, type) : .allExtensionNumbersResponse(.init(baseTypeName: type, extensionNumber: []))
    case nil: refusal(.invalidArgument, "the request asks for nothing")
    }
  }

  private func answer(_ files: [[UInt8]]?, _ name: String) -> Answer {
    guard let files else { return refusal(.notFound, "there is no “\(name.prefix(200))”") }
    return .fileDescriptorResponse(.init(fileDescriptorProto: files))
  }

  private func refusal(_ code: RPCCode, _ text: String) -> Answer {
    .errorResponse(.init(errorCode: code.rawValue, errorMessage: text))
  }
}

/// Files of definitions by their names, and by the names of what they define.
private struct DescriptorIndex: Sendable {
  let services: [String]
  private var files: [String: ProtobufFile] = [:]
  private var homes: [String: String] = [:]

  init(_ files: [ProtobufFile], services: [String]) {
    self.services = services
    for file in files { add(file) }
  }

  private mutating func add(_ file: ProtobufFile) {
    guard files.updateValue(file, forKey: file.name) == nil else { return }
    for inner in file.imports { add(inner) }
    guard let names = try? DefinedNames(protobuf: file.descriptor) else { return }
    for name in names.all { homes[names.package.isEmpty ? name : "\(names.package).\(name)"] = file.name }
  }

  /// A file and all that it imports, the file first; nil: there is none.
  func files(named name: String) -> [[UInt8]]? {
    guard let file = files[name] else { return nil }
    var (found, seen, left) = ([[UInt8]](), Set([name]), [file])
    while !left.isEmpty {
      let file = left.removeFirst()
      found.append(file.descriptor)
      left += file.imports.filter { seen.insert($0.name).inserted }
    }
    return found
  }

  func files(with name: String) -> [[UInt8]]? { homes[name].flatMap { files(named: $0) } }
}

/// The names in a `google.protobuf.FileDescriptorProto`: of messages, enumerations, services, and what is in them.
private struct DefinedNames: ProtobufMessage {
  static let protobufName = "google.protobuf.FileDescriptorProto"
  var package = ""
  private var messages: [DefinedMessage] = []
  private var others: [DefinedGroup] = []

  init() {}

  var all: [String] { messages.flatMap(\.names) + others.flatMap(\.names) }

  func encode(to writer: inout ProtobufWriter) {}

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 2: try reader.field(key, into: &package, as: Protobuf.String.self)
    case 4: try reader.repeated(key, into: &messages, as: Protobuf.Message<DefinedMessage>.self)
    case 5, 6: try reader.repeated(key, into: &others, as: Protobuf.Message<DefinedGroup>.self)
    default: try reader.skip(key)
    }
  }
}

private struct DefinedMessage: ProtobufMessage {
  static let protobufName = "google.protobuf.DescriptorProto"
  var name = ""
  var fields: [DefinedLeaf] = []
  var messages: [DefinedMessage] = []
  var enums: [DefinedGroup] = []

  var names: [String] {
    [name] + (fields.map(\.name) + messages.flatMap(\.names) + enums.flatMap(\.names)).map { "\(name).\($0)" }
  }

  func encode(to writer: inout ProtobufWriter) {}

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.repeated(key, into: &fields, as: Protobuf.Message<DefinedLeaf>.self)
    case 3: try reader.repeated(key, into: &messages, as: Protobuf.Message<DefinedMessage>.self)
    case 4: try reader.repeated(key, into: &enums, as: Protobuf.Message<DefinedGroup>.self)
    default: try reader.skip(key)
    }
  }
}

/// An enumeration with its values, or a service with its methods.
private struct DefinedGroup: ProtobufMessage {
  static let protobufName = "google.protobuf.EnumDescriptorProto"
  var name = ""
  var members: [DefinedLeaf] = []

  var names: [String] { [name] + members.map { "\(name).\($0.name)" } }

  func encode(to writer: inout ProtobufWriter) {}

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    switch key.number {
    case 1: try reader.field(key, into: &name, as: Protobuf.String.self)
    case 2: try reader.repeated(key, into: &members, as: Protobuf.Message<DefinedLeaf>.self)
    default: try reader.skip(key)
    }
  }
}

/// A field, a value or a method.
private struct DefinedLeaf: ProtobufMessage {
  static let protobufName = "google.protobuf.FieldDescriptorProto"
  var name = ""

  func encode(to writer: inout ProtobufWriter) {}

  mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError) {
    guard key.number == 1 else { return try reader.skip(key) }
    try reader.field(key, into: &name, as: Protobuf.String.self)
  }
}
