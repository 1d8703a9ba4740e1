import JSON
import Postgres
import Time

/// Encodes rows of Annals' outbox as change events.
///
/// The events have Debezium's form (io.debezium.data.Envelope of 3.6: names, order and types of the fields). `before`
/// and `after` are JSON in the row already and are copied unchanged.
final class OutboxEncoder {
  private var source: SourceBlock
  private let template: TopicTemplate
  /// Topic and table name for one type of aggregate.
  private struct Aggregate {
    let type: [UInt8]
    let topic: String
    let table: SourceBlock.TableName
  }

  private var aggregates: [[UInt8]: Aggregate] = [:]
  /// The aggregate of the last row: rows of one type often follow each other.
  private var last: Aggregate?
  private var layouts: [UInt32: OutboxLayout] = [:]
  /// Shows which rows have already been published; nil: none are skipped.
  private let watermark: Watermark?
  /// Position of the last row.
  private(set) var position: Int64 = 0

  init(version: String, name: String, topic: TopicTemplate, watermark: Watermark? = nil) {
    source = SourceBlock(version: version, name: name)
    template = topic
    self.watermark = watermark
  }

  func encode(_ message: PgOutputMessage, _ context: ChangeContext, into batch: inout MessageBatch) throws {
    switch message {
    case .relation(let relation): layouts[relation.id] = try OutboxLayout(relation)
    case .insert(let relation, let tuple):
      guard let layout = layouts[relation] else { throw ReplicationError.outOfPlace("a row of an unknown table") }
      let row = try layout.row(tuple)
      guard watermark?.takes(row.transaction) != false else { return }
      encode(row, schema: layout.relation.schema, context, into: &batch)
    case .update, .delete, .truncate: throw ReplicationError.outOfPlace("an update, delete or truncate of the outbox")
    case .begin(let commit, _, _): watermark?.begin(commit: commit)
    case .commit(_, let end, _): watermark?.commit(end: end)
    case .origin, .message, .type: break
    case .streamStart, .streamStop, .streamCommit, .streamAbort: break
    }
  }

  /// Encodes the messages of one row: an event, and after a deletion a tombstone.
  func encode(_ row: OutboxRow, schema: String, _ context: ChangeContext, into batch: inout MessageBatch) {
    position = row.sequence
    batch.begin(.event(row.sequence), after: 0)
    let aggregate = aggregate(row.category, schema: schema)
    let key = batch.written { self.key(row.key, into: &$0) }
    let value = batch.written { self.value(row, aggregate.table, context, at: .now(), into: &$0) }
    batch.header("event_id", batch.written { Self.uuid(row.eventID, into: &$0) })
    batch.header("event_type", batch.copied(row.type))
    batch.header("stream_version", batch.written { $0.integer(row.version) })
    batch.header("log_epoch", batch.written { $0.integer(Int64(row.epoch)) })
    batch.header("recorded_at_us", batch.written { $0.integer(row.recordedAt.microseconds) })
    if let headers = row.headers { addHeaders(of: headers, to: &batch) }
    batch.add(topic: aggregate.topic, key: key, value: value, transaction: context.number)
    if row.operation == UInt8(ascii: "d") { batch.addTombstone() }
  }

  private func aggregate(_ type: UnsafeRawBufferPointer, schema: String) -> Aggregate {
    if let last, last.type.withUnsafeBytes({ $0.elementsEqual(type) }) { return last }
    let bytes = Array(type)
    let name = String(decoding: bytes, as: UTF8.self)
    let aggregate =
      aggregates[bytes]
      ?? Aggregate(
        type: bytes, topic: template.topic(for: name), table: SourceBlock.TableName(schema: schema, table: name + "s"))
    aggregates[bytes] = aggregate
    last = aggregate
    return aggregate
  }

  /// The headers of the last row: those of one writer's rows are often the same.
  private var lastHeaders: (json: [UInt8], actor: String?, trace: String?) = ([], nil, nil)

  /// What the writer has put beside the event.
  private func addHeaders(of json: UnsafeRawBufferPointer, to batch: inout MessageBatch) {
    if !lastHeaders.json.withUnsafeBytes({ $0.elementsEqual(json) }) {
      let bytes = Array(json)
      // The outbox's own writer has checked that this is JSON.
      let headers = try? JSONValue(parsing: bytes)
      lastHeaders = (bytes, headers?["actor"]?.string, headers?["traceparent"]?.string)
    }
    if let actor = lastHeaders.actor { batch.header("actor", batch.copied(actor.utf8)) }
    if let trace = lastHeaders.trace {
      batch.header("traceparent", batch.copied(trace.utf8))
      batch.traceparent = trace
    }
  }

  private static func uuid(_ bytes: UnsafeRawBufferPointer, into writer: inout JSONWriter) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 36) { text in
      text.initialize(repeating: UInt8(ascii: "-"))
      var index = 0
      for (position, byte) in bytes.enumerated() {
        if position == 4 || position == 6 || position == 8 || position == 10 { index += 1 }
        for shift in stride(from: 4, through: 0, by: -4) {
          let digit = byte >> shift & 15
          text[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
          index += 1
        }
      }
      writer.splice(text)
    }
  }

  private func key(_ key: UnsafeRawBufferPointer, into writer: inout JSONWriter) {
    writer.raw("{\"id\":")
    writer.utf8(key)
    writer.raw("}")
  }

  private func value(
    _ row: OutboxRow, _ table: SourceBlock.TableName, _ context: ChangeContext, at now: Timestamp,
    into writer: inout JSONWriter
  ) {
    writer.raw("{\"before\":")
    splice(row.before, &writer)
    writer.raw(",\"after\":")
    splice(row.after, &writer)
    writer.raw(",\"source\":")
    source.write(table, context, into: &writer)
    switch row.operation {
    case UInt8(ascii: "c"): writer.raw(",\"transaction\":null,\"op\":\"c\",\"ts_ms\":")
    case UInt8(ascii: "u"): writer.raw(",\"transaction\":null,\"op\":\"u\",\"ts_ms\":")
    default: writer.raw(",\"transaction\":null,\"op\":\"d\",\"ts_ms\":")
    }
    writer.integer(now.microseconds / 1_000)
    writer.raw(",\"ts_us\":")
    writer.integer(now.microseconds)
    writer.raw(",\"ts_ns\":")
    writer.integer(now.microseconds * 1_000)
    writer.raw("}")
  }

  private func splice(_ json: UnsafeRawBufferPointer?, _ writer: inout JSONWriter) {
    if let json { writer.splice(json) } else { writer.raw("null") }
  }
}
