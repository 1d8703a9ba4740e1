import CYaml
import Glibc

/// A YAML file of nested mappings, flattened into dotted keys with their lines.
public struct SettingsFile: Sendable {
  public struct Entry: Equatable, Sendable {
    public let key: String
    public let value: String
    public let line: Int
  }

  public let name: String
  public let entries: [Entry]

  /// Reads the file of that path.
  public init(path: String) throws(ConfigurationError) {
    guard let file = fopen(path, "rb") else {
      throw .file(path, line: nil, problem: "cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    try self.init(name: path, bytes)
  }

  /// Refuses what settings do not need: lists, aliases, a key twice.
  public init(name: String, _ bytes: [UInt8]) throws(ConfigurationError) {
    let result = bytes.withUnsafeBufferPointer { buffer in
      Result { () throws(ConfigurationError) in try Self.parse(name, buffer) }
    }
    (self.name, entries) = (name, try result.get())
  }

  private static func parse(
    _ name: String, _ bytes: UnsafeBufferPointer<UInt8>
  ) throws(ConfigurationError) -> [Entry] {
    var parser = yaml_parser_t()
    guard yaml_parser_initialize(&parser) == 1 else { throw .file(name, line: nil, problem: "out of memory") }
    defer { yaml_parser_delete(&parser) }
    yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)

    var entries: [Entry] = []
    var path: [String] = []
    var key: String?
    var depth = 0
    while true {
      var event = yaml_event_t()
      guard yaml_parser_parse(&parser, &event) == 1 else {
        let problem = parser.problem.map { String(cString: $0) } ?? "no YAML"
        throw .file(name, line: Int(parser.problem_mark.line) + 1, problem: problem)
      }
      defer { yaml_event_delete(&event) }
      let line = Int(event.start_mark.line) + 1
      switch event.type {
      case YAML_STREAM_END_EVENT: return entries
      case YAML_MAPPING_START_EVENT:
        if depth > 0 {
          guard let name = key else { throw .file(name, line: line, problem: "a mapping cannot be a key") }
          path.append(name)
          key = nil
        }
        depth += 1
      case YAML_MAPPING_END_EVENT:
        depth -= 1
        _ = path.popLast()
      case YAML_SCALAR_EVENT:
        let text = String(
          decoding: UnsafeBufferPointer(start: event.data.scalar.value, count: event.data.scalar.length),
          as: UTF8.self)
        guard depth > 0 else { throw .file(name, line: line, problem: "expected settings, found “\(text)”") }
        guard let last = key else {
          key = text
          continue
        }
        let full = (path + [last]).joined(separator: ".")
        if let earlier = entries.first(where: { $0.key == full }) {
          throw .file(name, line: line, problem: "\(full) is set in line \(earlier.line) already")
        }
        entries.append(Entry(key: full, value: text, line: line))
        key = nil
      case YAML_ALIAS_EVENT, YAML_SEQUENCE_START_EVENT:
        throw .file(name, line: line, problem: "lists and aliases have no meaning here")
      default: break
      }
    }
  }
}
