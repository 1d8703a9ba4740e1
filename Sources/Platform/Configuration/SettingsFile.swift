import CYaml
import Files

/// A YAML file of nested mappings, flattened into dotted keys with their lines.
public struct SettingsFile: Sendable {
  public struct Entry: Equatable, Sendable {
    public let key: String
    public let value: String
    public let line: Int
  }

  public let name: String
  public let entries: [Entry]

  /// Reads the file at `path`.
  public init(path: String) throws(ConfigurationError) {
    let bytes: [UInt8]
    do { bytes = try File.read(path, limit: 1 << 20) } catch {
      throw .file(path, line: nil, problem: "cannot be read: \(error.reason)")
    }
    try self.init(name: path, bytes)
  }

  /// Refuses lists, aliases and duplicate keys.
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
        let problem = parser.problem.map { String(cString: $0) } ?? "not valid YAML"
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
          throw .file(name, line: line, problem: "\(full) is already set on line \(earlier.line)")
        }
        entries.append(Entry(key: full, value: text, line: line))
        key = nil
      case YAML_ALIAS_EVENT, YAML_SEQUENCE_START_EVENT:
        throw .file(name, line: line, problem: "lists and aliases are not supported")
      default: break
      }
    }
  }
}
