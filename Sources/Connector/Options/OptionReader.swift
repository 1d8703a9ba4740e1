import Spelling
/// Reads options one by one. An option that is never read is unknown. Only the first problem is kept.
struct OptionReader {
  private var rest: [String: Properties.Entry] = [:]
  private var known: Set<String> = []
  private(set) var problem: ConnectorOptionError?

  static let simpleHeaders = "org.apache.kafka.connect.storage.SimpleHeaderConverter"

  /// Options that control how Kafka Connect runs and change no message.
  private static let withoutMeaning: Set<String> = [
    "name", "tasks.max", "offset.storage", "poll.interval.ms", "max.batch.size", "max.queue.size",
    "max.queue.size.in.bytes", "status.update.interval.ms", "slot.max.retries", "slot.retry.delay.ms",
    "retriable.restart.connector.wait.ms", "errors.max.retries", "slot.drop.on.stop", "snapshot.fetch.size",
    "xmin.fetch.interval.ms", "database.query.timeout.ms", "flush.lsn.source",
    "event.processing.failure.handling.mode", "snapshot.delay.ms", "snapshot.lock.timeout.ms",
    "snapshot.locking.mode", "database.tcpKeepAlive", "database.server.name", "schema.refresh.mode",
  ]
  private static let withoutMeaningPrefixes = [
    "offset.", "producer.override.", "errors.", "schema.history.internal.", "internal.",
  ]

  init(_ properties: Properties) {
    for entry in properties.entries { rest[entry.name] = entry }
  }

  mutating func refuse(_ name: String, _ reason: String, line: Int? = nil) {
    if problem == nil { problem = ConnectorOptionError(name: name, line: line, reason: reason) }
  }

  private mutating func take(_ name: String) -> Properties.Entry? {
    known.insert(name)
    return rest.removeValue(forKey: name)
  }

  mutating func text(_ name: String) -> String? { take(name)?.value }

  mutating func expect(_ name: String, _ values: [String]) {
    guard let entry = take(name), !values.contains(entry.value) else { return }
    refuse(name, "“\(entry.value)” is not supported; use \(values[0])", line: entry.line)
  }

  mutating func flag(_ name: String) -> Bool? {
    guard let entry = take(name) else { return nil }
    switch entry.value {
    case "true": return true
    case "false": return false
    default:
      refuse(name, "“\(entry.value)” is neither true nor false", line: entry.line)
      return nil
    }
  }

  mutating func number(_ name: String) -> Int? {
    guard let entry = take(name) else { return nil }
    guard let value = Int(entry.value) else {
      refuse(name, "“\(entry.value)” is not a whole number", line: entry.line)
      return nil
    }
    return value
  }

  /// A number from 1; -1 means the default.
  mutating func positive(_ name: String) -> Int? {
    guard let number = number(name), number != -1 else { return nil }
    if number < 1 { refuse(name, "“\(number)” is not a number from 1, or -1 for the default") }
    return number
  }

  mutating func choice<Value: RawRepresentable<String> & CaseIterable>(_ name: String) -> Value? {
    guard let entry = take(name) else { return nil }
    guard let value = Value(rawValue: entry.value) else {
      let possible = Value.allCases.map(\.rawValue).joined(separator: ", ")
      refuse(name, "“\(entry.value)” is not supported; use one of \(possible)", line: entry.line)
      return nil
    }
    return value
  }

  /// Comma-separated patterns.
  mutating func list(_ name: String) -> [String] {
    guard let entry = take(name) else { return [] }
    let patterns = entry.value.split(separator: ",").map { String($0.drop { $0 == " " }) }.map { pattern in
      String(pattern.reversed().drop { $0 == " " }.reversed())
    }
    for pattern in patterns {
      do { _ = try NamePattern(pattern) } catch {
        refuse(name, "“\(pattern)” is not a valid regular expression", line: entry.line)
      }
    }
    return patterns
  }

  mutating func filter(_ kind: String) -> ConnectorOptions.NameFilter {
    let filter = ConnectorOptions.NameFilter(
      includes: list("\(kind).include.list"), excludes: list("\(kind).exclude.list"))
    if !filter.includes.isEmpty, !filter.excludes.isEmpty {
      refuse("\(kind).exclude.list", "it cannot be combined with \(kind).include.list")
    }
    return filter
  }

  mutating func converter(_ side: String, hasSchemas: Bool?) -> ConnectorOptions.Converter {
    var converter = ConnectorOptions.Converter()
    for name in ["\(side).converter", "\(side).converter.class"] {
      guard let entry = take(name) else { continue }
      switch entry.value {
      case "org.apache.kafka.connect.json.JsonConverter": converter.form = .json
      case "org.apache.kafka.connect.storage.StringConverter": converter.form = .text
      case "org.apache.kafka.connect.converters.ByteArrayConverter", "io.debezium.converters.BinaryDataConverter":
        converter.form = .bytes
      default:
        refuse(
          name, "“\(entry.value)” is not supported; use JsonConverter, StringConverter or ByteArrayConverter",
          line: entry.line)
      }
    }
    // JsonConverter's own default is true.
    converter.hasSchemas = flag("\(side).converter.schemas.enable") ?? hasSchemas ?? true
    if converter.form != .json { converter.hasSchemas = false }
    return converter
  }

  mutating func connection() -> String? {
    let parts: [(String, String)] = [
      ("database.hostname", "host"), ("database.port", "port"), ("database.user", "user"),
      ("database.password", "password"), ("database.dbname", "dbname"), ("database.sslmode", "sslmode"),
      ("database.sslcert", "sslcert"), ("database.sslkey", "sslkey"), ("database.sslrootcert", "sslrootcert"),
      ("database.sslpassword", "sslpassword"),
    ]
    var settings: [String] = []
    for (name, keyword) in parts {
      guard let value = text(name) else { continue }
      let quoted = value.flatMap { $0 == "'" || $0 == "\\" ? "\\\($0)" : "\($0)" }
      settings.append("\(keyword)='\(String(quoted))'")
    }
    return settings.contains { $0.hasPrefix("host=") } ? settings.joined(separator: " ") : nil
  }

  mutating func transform() -> (OutboxRouterOptions?, FlattenOptions?) {
    let names = list("transforms")
    guard let alias = names.first else { return (nil, nil) }
    let (router, flattener) = (
      "io.debezium.transforms.outbox.EventRouter", "io.debezium.transforms.ExtractNewRecordState"
    )
    for name in names where name != alias {
      refuse("transforms.\(name).type", "only one transform is supported: \(router) or \(flattener)")
    }
    guard let entry = take("transforms.\(alias).type") else {
      refuse("transforms.\(alias).type", "this option is required")
      return (nil, nil)
    }
    switch entry.value {
    case router: return (outbox(alias), nil)
    case flattener: return (nil, flattening("transforms.\(alias)."))
    default:
      refuse(
        entry.name, "“\(entry.value)” is not supported; use \(router) or \(flattener)", line: entry.line)
      return (nil, nil)
    }
  }

  private mutating func flattening(_ prefix: String) -> FlattenOptions {
    var options = FlattenOptions()
    options.deletions = choice(prefix + "delete.tombstone.handling.mode") ?? options.deletions
    options.routeField = text(prefix + "route.by.field")
    func additions(_ kind: String, _ reader: inout OptionReader) -> [FlattenOptions.Addition] {
      let start = reader.text("\(prefix)add.\(kind).prefix") ?? "__"
      guard let entry = reader.take("\(prefix)add.\(kind)") else { return [] }
      return entry.value.split(separator: ",").compactMap { item in
        let text = String(item.filter { $0 != " " })
        if let addition = FlattenOptions.Addition(text, prefix: start) { return addition }
        reader.refuse(entry.name, "a change event has no field “\(text)”", line: entry.line)
        return nil
      }
    }
    options.fields = additions("fields", &self)
    options.headers = additions("headers", &self)
    return options
  }

  private mutating func outbox(_ alias: String) -> OutboxRouterOptions {
    let prefix = "transforms.\(alias)."
    var options = OutboxRouterOptions(alias: alias)
    func read(_ path: WritableKeyPath<OutboxRouterOptions, String>, _ name: String, _ reader: inout OptionReader) {
      if let value = reader.text(prefix + name) { options[keyPath: path] = value }
    }
    read(\.idField, "table.field.event.id", &self)
    read(\.keyField, "table.field.event.key", &self)
    read(\.typeField, "table.field.event.type", &self)
    read(\.payloadField, "table.field.event.payload", &self)
    options.timestampField = text(prefix + "table.field.event.timestamp")
    options.schemaVersionField = text(prefix + "table.field.event.schema.version")
    read(\.routeField, "route.by.field", &self)
    read(\.topicPattern, "route.topic.regex", &self)
    read(\.topicReplacement, "route.topic.replacement", &self)
    options.expandsPayload = flag(prefix + "table.expand.json.payload") ?? false
    expect(prefix + "table.json.payload.null.behavior", ["ignore", "optional_bytes"])
    options.sendsTombstoneOnEmptyPayload = flag(prefix + "route.tombstone.on.empty.payload") ?? false
    options.invalidOperation = choice(prefix + "table.op.invalid.behavior") ?? .warn
    options.requiresPlacedFields = flag(prefix + "table.fields.additional.error.on.missing") ?? true
    if let entry = take(prefix + "table.fields.additional.placement") {
      for item in entry.value.split(separator: ",") {
        let parts = item.split(separator: ":").map { $0.filter { $0 != " " } }
        guard (2...3).contains(parts.count), let place = OutboxRouterOptions.Placement.Place(rawValue: parts[1]) else {
          refuse(entry.name, "“\(item)” is not field:header, field:envelope or field:partition", line: entry.line)
          continue
        }
        options.placements.append(
          .init(field: parts[0], place: place, alias: parts.last.map { parts.count == 3 ? $0 : parts[0] } ?? ""))
      }
    }
    options.topics = predicate(of: prefix)
    return options
  }

  private mutating func predicate(of prefix: String) -> (pattern: String, isNegated: Bool)? {
    let isNegated = flag(prefix + "negate") ?? false
    let names = list("predicates")
    guard let name = text(prefix + "predicate") else { return nil }
    guard names.contains(name) else {
      refuse(prefix + "predicate", "predicate “\(name)” is not listed in the option predicates")
      return nil
    }
    expect("predicates.\(name).type", ["org.apache.kafka.connect.transforms.predicates.TopicNameMatches"])
    return (text("predicates.\(name).pattern") ?? ".*", isNegated)
  }

  /// Returns the unread options that have no meaning here; refuses all other unread options as unknown.
  mutating func ignored() -> [String] {
    var ignored: [String] = []
    for entry in rest.values.sorted(by: { $0.line < $1.line }) {
      let name = entry.name
      if Self.withoutMeaning.contains(name) || Self.withoutMeaningPrefixes.contains(where: { name.hasPrefix($0) }) {
        ignored.append(name)
      } else {
        refuse(name, "this option is not known or not supported\(suggestion(for: name))", line: entry.line)
      }
    }
    return ignored
  }

  private func suggestion(for name: String) -> String {
    nearest(to: name, in: Array(known)).map { "; did you mean \($0)?" } ?? ""
  }
}
