import Base64

/// Emits Swift for files of definitions: messages, enumerations, and for each service what serves it.
struct Generator {
  struct Problem: Error, CustomStringConvertible {
    let description: String
  }

  private struct TypeName {
    let swift: String
    let isEnum: Bool
    /// The entry's key and value, if the type is a map's entry.
    let entry: (key: FieldDescriptor, value: FieldDescriptor)?
  }

  /// By their full names, which begin with a dot.
  private var types: [String: TypeName] = [:]
  private var enclosing: [String: String] = [:]
  private let files: [FileDescriptor]
  private let imports: [String]
  private var lines: [String] = []
  private var indent = 0

  /// - Parameters:
  ///   - files: All files, each after those that it imports.
  ///   - imports: Modules that what is emitted imports, beside Protobuf.
  init(_ files: [FileDescriptor], imports: [String]) {
    (self.files, self.imports) = (files, imports)
    for file in files {
      let package = file.package.isEmpty ? "" : ".\(file.package)"
      let outer = Self.enclosing(file)
      enclosing[file.name] = outer
      for type in file.enums { add(type, package, outer) }
      for type in file.messages { add(type, package, outer) }
    }
  }

  private mutating func add(_ type: EnumDescriptor, _ package: String, _ outer: String) {
    types["\(package).\(type.name)"] = TypeName(swift: "\(outer).\(type.name)", isEnum: true, entry: nil)
  }

  private mutating func add(_ type: MessageDescriptor, _ package: String, _ outer: String) {
    let (name, swift) = ("\(package).\(type.name)", "\(outer).\(type.name)")
    let fields = Dictionary(type.fields.map { ($0.number, $0) }) { first, _ in first }
    var entry: (FieldDescriptor, FieldDescriptor)?
    if type.options.isMapEntry, let key = fields[1], let value = fields[2] { entry = (key, value) }
    types[name] = TypeName(swift: swift, isEnum: false, entry: entry)
    for inner in type.enums { add(inner, name, swift) }
    for inner in type.messages { add(inner, name, swift) }
  }

  // MARK: A file

  /// The Swift of one file.
  ///
  /// - Parameter descriptor: Of the file, serialized.
  mutating func emit(_ file: FileDescriptor, descriptor: [UInt8]) throws(Problem) -> String {
    lines = ["// Made from \(file.name) by `make protos`."]
    for module in (imports + ["Protobuf"]).sorted() { line("import \(module)") }
    line("")
    try block("enum \(Self.enclosing(file))", comment: "/// `\(file.package)`") { generator throws(Problem) in
      let imports = file.imports.compactMap { generator.enclosing[$0] }.map { "\($0).file" }
      generator.line("static let file = ProtobufFile(")
      generator.line("  \"\(file.name)\",")
      generator.line("  descriptor:")
      let text = Base64.standard(descriptor)
      generator.line("    \"\"\"")
      var rest = Substring(text)
      while !rest.isEmpty {
        generator.line("    \(rest.prefix(100))\(rest.count > 100 ? "\\" : "")")
        rest = rest.dropFirst(100)
      }
      generator.line("    \"\"\", imports: [\(imports.joined(separator: ", "))])")
      for type in file.enums { generator.emit(type) }
      for type in file.messages { try generator.emit(type, file.package) }
      for service in file.services { try generator.emit(service) }
    }
    for service in file.services { try extend(service, in: file) }
    return lines.joined(separator: "\n") + "\n"
  }

  private mutating func line(_ text: String) {
    lines.append(text.isEmpty ? "" : String(repeating: "  ", count: indent) + text)
  }

  private mutating func block(
    _ head: String, comment: String? = nil, _ body: (inout Generator) throws(Problem) -> Void
  ) throws(Problem) {
    if let last = lines.last, !last.isEmpty, !last.hasSuffix("{") { line("") }
    if let comment { line(comment) }
    line("\(head) {")
    indent += 1
    try body(&self)
    indent -= 1
    line("}")
  }

  // MARK: Types

  private mutating func emit(_ type: EnumDescriptor) {
    let prefix = Self.snake(type.name).uppercased() + "_"
    let isPrefixed = type.values.allSatisfy { $0.name.hasPrefix(prefix) }
    line("")
    line("struct \(type.name): ProtobufEnum {")
    line("  let rawValue: Int32")
    line("")
    for value in type.values {
      let name = isPrefixed ? String(value.name.dropFirst(prefix.count)) : value.name
      line("  static let \(Self.identifier(Self.camel(name.lowercased()))) = Self(rawValue: \(value.number))")
    }
    line("}")
  }

  private func real(_ field: FieldDescriptor) -> Int? { field.isOptional ? nil : field.oneof.map { Int($0) } }

  private mutating func emit(_ type: MessageDescriptor, _ package: String) throws(Problem) {
    let name = package.isEmpty ? type.name : "\(package).\(type.name)"
    let fields = type.fields.sorted { $0.number < $1.number }
    try block("struct \(type.name): ProtobufMessage") { generator throws(Problem) in
      generator.line("static let protobufName = \"\(name)\"")
      for inner in type.enums { generator.emit(inner) }
      for inner in type.messages where !inner.options.isMapEntry { try generator.emit(inner, name) }
      var (members, encoding, decoding): ([(String, String, String)], [String], [String]) = ([], [], [])
      for field in fields where generator.real(field) == nil {
        let parts = try generator.parts(of: field)
        members.append(parts.member)
        encoding.append(parts.encoding)
        decoding.append("case \(field.number): try reader.\(parts.decoding)")
      }
      for (index, oneof) in type.oneofs.enumerated() {
        let choices = fields.filter { generator.real($0) == index }
        guard !choices.isEmpty else { continue }
        let (member, choice) = (Self.identifier(Self.camel(oneof.name)), Self.upper(Self.camel(oneof.name)))
        members.append((member, "\(choice)?", "nil"))
        generator.line("")
        generator.line("enum \(choice): Sendable, Equatable {")
        encoding.append("switch \(member) {")
        for field in choices {
          let (name, codec) = (Self.identifier(Self.camel(field.name)), try generator.codec(field))
          generator.line("  case \(name)(\(try generator.swift(field)))")
          encoding.append("case .\(name)(let value): writer.present(\(field.number), value, as: \(codec).self)")
          decoding += [
            "case \(field.number):",
            "  var value: \(try generator.swift(field))?",
            "  if case .\(name)(let earlier) = \(member) { value = earlier }",
            "  try reader.present(key, into: &value, as: \(codec).self)",
            "  if let value { \(member) = .\(name)(value) }",
          ]
        }
        generator.line("}")
        encoding += ["case nil: break", "}"]
      }
      generator.line("")
      for (name, type, value) in members { generator.line("var \(name): \(type) = \(value)") }
      generator.line("")
      try generator.block("func encode(to writer: inout ProtobufWriter)") { generator throws(Problem) in
        for text in encoding { generator.line(text) }
      }
      let head = "mutating func decode(_ key: ProtobufKey, from reader: inout ProtobufReader) throws(ProtobufError)"
      try generator.block(head) { generator throws(Problem) in
        guard !decoding.isEmpty else { return generator.line("try reader.skip(key)") }
        generator.line("switch key.number {")
        for text in decoding { generator.line(text) }
        generator.line("default: try reader.skip(key)")
        generator.line("}")
      }
    }
  }

  /// A field that belongs to no oneof: the member (name, type, default), how it is written, how it is read.
  private func parts(
    of field: FieldDescriptor
  ) throws(Problem) -> (member: (String, String, String), encoding: String, decoding: String) {
    let (name, number) = (Self.identifier(Self.camel(field.name)), field.number)
    if let entry = types[field.typeName]?.entry, field.isRepeated {
      let (key, value) = (try codec(entry.key), try codec(entry.value))
      return (
        (name, "[\(try swift(entry.key)): \(try swift(entry.value))]", "[:]"),
        "writer.map(\(number), \(name), \(key).self, as: \(value).self)",
        "map(key, into: &\(name), \(key).self, as: \(value).self)"
      )
    }
    let (type, codec) = (try swift(field), try codec(field))
    if field.isRepeated {
      // Texts, bytes and messages cannot be packed.
      let isPacked = ![9, 11, 12].contains(field.type) && field.options?.isPacked != false
      return (
        (name, "[\(type)]", "[]"), "writer.\(isPacked ? "packed" : "repeated")(\(number), \(name), as: \(codec).self)",
        "repeated(key, into: &\(name), as: \(codec).self)"
      )
    }
    let isPresent = field.isOptional || field.type == 11
    let method = isPresent ? "present" : "field"
    return (
      (name, isPresent ? "\(type)?" : type, isPresent ? "nil" : try zero(field)),
      "writer.\(method)(\(number), \(name), as: \(codec).self)", "\(method)(key, into: &\(name), as: \(codec).self)"
    )
  }

  // MARK: Services

  private mutating func emit(_ service: ServiceDescriptor) throws(Problem) {
    try block("protocol \(service.name)Methods: Sendable") { generator throws(Problem) in
      for method in service.methods {
        let (input, output) = (try generator.swift(method.input), try generator.swift(method.output))
        let name = Self.identifier(Self.lower(method.name))
        let request = method.streamsRequests ? "_ requests: RPCRequests<\(input)>" : "_ request: \(input)"
        if method.streamsResponses {
          generator.line("func \(name)(\(request), _ call: RPCCall, _ responses: RPCResponses<\(output)>) async throws")
        } else {
          generator.line("func \(name)(\(request), _ call: RPCCall) async throws -> \(output)")
        }
      }
    }
  }

  private mutating func extend(_ service: ServiceDescriptor, in file: FileDescriptor) throws(Problem) {
    let outer = Self.enclosing(file)
    let name = file.package.isEmpty ? service.name : "\(file.package).\(service.name)"
    line("")
    try block("extension \(outer).\(service.name)Methods") { generator throws(Problem) in
      generator.line("/// `\(name)`")
      generator.line("var service: RPCService {")
      generator.line("  RPCService(")
      generator.line("    \"\(name)\", file: \(outer).file,")
      generator.line("    methods: [")
      for method in service.methods {
        let kind =
          switch (method.streamsRequests, method.streamsResponses) {
          case (false, false): "unary"
          case (false, true): "serverStreaming"
          case (true, false): "clientStreaming"
          case (true, true): "bidirectional"
          }
        generator.line("      .\(kind)(\"\(method.name)\", \(Self.identifier(Self.lower(method.name)))),")
      }
      generator.line("    ])")
      generator.line("}")
    }
  }

  // MARK: Names

  private static let codecs: [Int32: (codec: String, swift: String, zero: String)] = [
    1: ("Double", "Double", "0"), 2: ("Float", "Float", "0"), 3: ("Int64", "Int64", "0"), 4: ("UInt64", "UInt64", "0"),
    5: ("Int32", "Int32", "0"), 6: ("Fixed64", "UInt64", "0"), 7: ("Fixed32", "UInt32", "0"),
    8: ("Bool", "Bool", "false"), 9: ("String", "String", "\"\""), 12: ("Bytes", "[UInt8]", "[]"),
    13: ("UInt32", "UInt32", "0"), 15: ("SFixed32", "Int32", "0"), 16: ("SFixed64", "Int64", "0"),
    17: ("SInt32", "Int32", "0"), 18: ("SInt64", "Int64", "0"),
  ]

  private func codec(_ field: FieldDescriptor) throws(Problem) -> String {
    if let known = Self.codecs[field.type] { return "Protobuf.\(known.codec)" }
    let type = try named(field.typeName)
    return "Protobuf.\(type.isEnum ? "Enum" : "Message")<\(type.swift)>"
  }

  private func swift(_ field: FieldDescriptor) throws(Problem) -> String {
    if let known = Self.codecs[field.type] { return known.swift }
    return try swift(field.typeName)
  }

  private func swift(_ name: String) throws(Problem) -> String { try named(name).swift }

  private func zero(_ field: FieldDescriptor) throws(Problem) -> String {
    if let known = Self.codecs[field.type] { return known.zero }
    return "\(try swift(field.typeName))(rawValue: 0)"
  }

  private func named(_ name: String) throws(Problem) -> TypeName {
    guard let type = types[name] else {
      throw Problem(description: "“\(name)” is no type of these files; groups of proto2 cannot be emitted")
    }
    return type
  }

  /// `grpc.health.v1` → `GrpcHealthV1Proto`
  private static func enclosing(_ file: FileDescriptor) -> String {
    let package =
      file.package.isEmpty ? String(file.name.split(separator: "/").last?.split(separator: ".")[0] ?? "") : file.package
    return package.split(separator: ".").map { upper(camel(String($0))) }.joined() + "Proto"
  }

  private static func camel(_ snake: String) -> String {
    let parts = snake.split(separator: "_")
    return (parts.first.map { String($0) } ?? "") + parts.dropFirst().map { upper(String($0)) }.joined()
  }

  private static func snake(_ camel: String) -> String {
    camel.enumerated().map { $0.offset > 0 && $0.element.isUppercase ? "_\($0.element)" : "\($0.element)" }.joined()
  }

  private static func upper(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }
  private static func lower(_ text: String) -> String { text.prefix(1).lowercased() + text.dropFirst() }

  private static let keywords: Set<String> = [
    "as", "associatedtype", "break", "case", "catch", "class", "continue", "default", "defer", "deinit", "do", "else",
    "enum", "extension", "fallthrough", "false", "for", "func", "guard", "if", "import", "in", "init", "inout",
    "internal", "is", "let", "nil", "operator", "private", "protocol", "public", "repeat", "rethrows", "return", "self",
    "static", "struct", "subscript", "super", "switch", "throw", "throws", "true", "try", "typealias", "var", "where",
    "while", "Type", "Self", "Protocol",
  ]

  private static func identifier(_ name: String) -> String { keywords.contains(name) ? "`\(name)`" : name }
}
