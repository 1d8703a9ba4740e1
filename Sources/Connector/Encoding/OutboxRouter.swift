import JSON
import Logging
import Relay
import Time

/// Encodes rows of an application's outbox table as messages, as Debezium's Outbox Event Router does.
final class OutboxRouter {
  private let options: OutboxRouterOptions
  private let keyConverter: ConnectorOptions.Converter
  private let valueConverter: ConnectorOptions.Converter
  private let columns: ColumnOptions
  private let topics: NamePattern?
  private let route: Regex<AnyRegexOutput>
  private let logger: Logger

  init(
    _ options: OutboxRouterOptions, key: ConnectorOptions.Converter, value: ConnectorOptions.Converter,
    columns: ColumnOptions, logger: Logger
  ) throws {
    (self.options, keyConverter, valueConverter, self.columns, self.logger) = (options, key, value, columns, logger)
    topics = try options.topics.map { try NamePattern($0.pattern) }
    route = try Regex(options.topicPattern)
  }

  /// True if the table with that topic is an outbox.
  func takes(topic: String) -> Bool {
    guard let topics else { return true }
    return topics.matches(topic) != (options.topics?.isNegated ?? false)
  }

  /// An option names a column that the table does not have.
  struct MissingField: Error, CustomStringConvertible {
    let table: String
    let field: String
    let option: String
    var description: String { "table \(table) has no column “\(field)”: correct the option \(option)" }
  }

  /// An outbox row was updated. Rows of an outbox may only be inserted and deleted.
  struct UpdatedOutbox: Error, CustomStringConvertible {
    let table: String
    var description: String {
      "a row of the outbox table \(table) was updated: table.op.invalid.behavior=fatal does not allow this"
    }
  }

  func refuseUpdate(of table: TableEncoder) throws(UpdatedOutbox) {
    switch options.invalidOperation {
    case .warn: logger.warning("An outbox row was updated; nothing is sent", metadata: ["table": table.collection])
    case .error: logger.error("An outbox row was updated; nothing is sent", metadata: ["table": table.collection])
    case .fatal: throw UpdatedOutbox(table: table.collection)
    }
  }

  func route(
    _ row: PgOutputMessage.Tuple, of table: TableEncoder, _ context: ChangeContext, into batch: inout MessageBatch
  ) throws {
    func column(_ field: String, _ option: String) throws -> Field {
      guard let index = table.index(of: field), index < row.columns.count, let writer = table.columns[index] else {
        throw MissingField(table: table.collection, field: field, option: option)
      }
      return Field(writer: writer, value: row.columns[index])
    }
    let payload = try column(options.payloadField, "table.field.event.payload")
    let key = try column(options.keyField, "table.field.event.key")
    let topic = try topic(for: column(options.routeField, "route.by.field").text ?? "")
    let id = try column(options.idField, "table.field.event.id")
    batch.header("id", id.text.map { text in batch.copied(text.utf8) })
    var partition: Int32?
    var beside: [(name: String, field: Field)] = []
    for placement in options.placements {
      guard table.index(of: placement.field) != nil || options.requiresPlacedFields else { continue }
      let field = try column(placement.field, "table.fields.additional.placement")
      switch placement.place {
      case .header: batch.header(placement.alias, field.text.map { text in batch.copied(text.utf8) })
      case .envelope: beside.append((placement.alias, field))
      case .partition: partition = field.text.flatMap { Int32($0) }
      }
    }
    let timestamp = try options.timestampField.flatMap { try column($0, "table.field.event.timestamp").milliseconds }
    batch.add(
      topic: topic, partition: partition, timestamp: timestamp ?? Timestamp.now().microseconds / 1_000,
      key: converted(key, keyConverter, &batch),
      value: value(payload, beside: beside, &batch), transaction: context.number)
  }

  /// The topic, with `${name}` and `$1` replaced by the pattern's groups; the value itself if it does not match.
  private func topic(for value: String) -> String {
    do {
      guard let match = try route.wholeMatch(in: value) else { return value }
      var topic = ""
      var rest = options.topicReplacement[...]
      while let character = rest.popFirst() {
        guard character == "$" else {
          topic.append(character)
          continue
        }
        if rest.first == "{" {
          let name = rest.dropFirst().prefix { $0 != "}" }
          rest = rest.dropFirst(name.count + 2)
          topic += match.output.first { $0.name.map { $0 == name } ?? false }?.substring ?? ""
        } else {
          let digits = rest.prefix { $0.isNumber }
          rest = rest.dropFirst(digits.count)
          let index = Int(digits) ?? 0
          topic += index < match.output.count ? match.output[index].substring ?? "" : ""
        }
      }
      return topic
    } catch { return value }
  }

  private struct Field {
    let writer: ColumnWriter
    let value: PgOutputMessage.Tuple.Column

    var isNull: Bool { if case .text = value { false } else { true } }

    /// As SimpleHeaderConverter writes it: texts as they are, anything else as its JSON.
    var text: String? {
      guard case .text = value else { return nil }
      var json = JSONWriter(reserving: 64)
      writer.write(value, into: &json)
      guard json.bytes.first == UInt8(ascii: "\"") else { return String(decoding: json.bytes, as: UTF8.self) }
      do { return try JSONValue(parsing: json.bytes).string } catch { return nil }
    }

    var bytes: [UInt8]? {
      guard case .text(let text) = value else { return nil }
      return writer.type == .bytes ? PostgresText.bytea(text) ?? [] : Array(text)
    }

    var milliseconds: Int64? {
      guard case .text(let text) = value else { return nil }
      switch writer.type {
      case .int64, .int32: return Int64(String(decoding: text, as: UTF8.self))
      case .timestamp, .timestampWithZone:
        if case .finite(let moment)? = PostgresText.timestamp(text) { return moment.microseconds / 1_000 }
        return nil
      default: return nil
      }
    }
  }

  /// Encodes one column as a key or a value.
  private func converted(
    _ field: Field, _ converter: ConnectorOptions.Converter, _ batch: inout MessageBatch
  ) -> Range<Int>? {
    switch converter.form {
    case .text: field.text.map { text in batch.copied(text.utf8) }
    case .bytes: field.bytes.map { bytes in batch.copied(bytes) }
    case .json:
      batch.written { writer in
        if converter.hasSchemas {
          writer.raw("{\"schema\":")
          ConnectSchema.alone(field.writer, columns, into: &writer)
          writer.raw(",\"payload\":")
        }
        field.writer.write(field.value, into: &writer)
        if converter.hasSchemas { writer.raw("}") }
      }
    }
  }

  private func value(
    _ payload: Field, beside: [(name: String, field: Field)], _ batch: inout MessageBatch
  ) -> Range<Int>? {
    if options.sendsTombstoneOnEmptyPayload, payload.isNull { return nil }
    let expanded = options.expandsPayload ? expanded(payload) : nil
    guard !beside.isEmpty else {
      guard let expanded else { return converted(payload, valueConverter, &batch) }
      return batch.written { $0.value(expanded) }
    }
    return batch.written { writer in
      if valueConverter.hasSchemas {
        writer.raw("{\"schema\":{\"type\":\"struct\",\"fields\":[")
        ConnectSchema.field(payload.writer.named("payload"), columns, into: &writer)
        for (name, field) in beside {
          ConnectSchema.field(field.writer.named(name), columns, into: &writer)
        }
        writer.raw("],\"optional\":false},\"payload\":")
      }
      writer.object { writer in
        writer.name("payload")
        if let expanded { writer.value(expanded) } else { payload.writer.write(payload.value, into: &writer) }
        for (name, field) in beside {
          writer.name(name)
          field.writer.write(field.value, into: &writer)
        }
      }
      if valueConverter.hasSchemas { writer.raw("}") }
    }
  }

  /// The payload as a JSON object or array; nil for anything else, which is sent unchanged. Members that are null or an
  /// empty array are left out, as in Debezium: a schema derived from the payload cannot describe them.
  private func expanded(_ payload: Field) -> JSONValue? {
    guard let bytes = payload.bytes else { return nil }
    let value: JSONValue
    do { value = try JSONValue(parsing: bytes) } catch {
      logger.warning("A payload is not valid JSON and is sent unchanged", metadata: [.error: "\(error)"])
      return nil
    }
    switch value {
    case .object, .array: return value.withoutUntyped
    default: return nil
    }
  }
}

extension JSONValue {
  fileprivate var withoutUntyped: JSONValue {
    switch self {
    case .object(let object):
      .object(
        JSONObject(
          object.members.filter { $0.value != .null && $0.value != .array([]) }.map {
            .init(name: $0.name, value: $0.value.withoutUntyped)
          }))
    case .array(let elements): .array(elements.map(\.withoutUntyped))
    default: self
    }
  }
}
