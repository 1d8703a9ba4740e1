import JSON
import Postgres
import Time

/// What the `source` block of a change event says of the database and the commit.
struct ChangeSource {
  let database: String
  /// The logical name, Debezium's `topic.prefix`.
  let name: String
  let schema: String
  let committedAt: Timestamp
  let transaction: UInt32
  let lsn: LogSequenceNumber
  /// The end of the commit before this one, once there was one.
  let lastCommit: LogSequenceNumber?
}

/// Writes outbox rows as Debezium change events (io.debezium.data.Envelope of 3.6: names, order and types of the
/// fields). `before` and `after` are spliced as they are: they were JSON when they were written.
struct ChangeEventEncoder {
  /// This program's, in `source.version`.
  let version: String

  func key(_ key: UnsafeRawBufferPointer, into writer: inout JSONWriter) {
    writer.raw("{\"id\":")
    writer.utf8(key)
    writer.raw("}")
  }

  func value(_ row: OutboxRow, _ source: ChangeSource, at now: Timestamp, into writer: inout JSONWriter) {
    writer.object { writer in
      writer.name("before")
      splice(row.before, &writer)
      writer.name("after")
      splice(row.after, &writer)
      writer.name("source")
      self.source(source, row, &writer)
      writer.name("transaction")
      writer.null()
      writer.name("op")
      writer.utf8(UnsafeRawBufferPointer(rebasing: operationLetter(row.operation)))
      writer.member("ts_ms", now.microseconds / 1_000)
      writer.member("ts_us", now.microseconds)
      writer.member("ts_ns", now.microseconds * 1_000)
    }
  }

  private func operationLetter(_ letter: UInt8) -> Slice<UnsafeRawBufferPointer> {
    let letters: StaticString = "cud"
    let bytes = UnsafeRawBufferPointer(start: letters.utf8Start, count: letters.utf8CodeUnitCount)
    let index = bytes.firstIndex(of: letter) ?? 0
    return bytes[index...index]
  }

  private func splice(_ json: UnsafeRawBufferPointer?, _ writer: inout JSONWriter) {
    if let json { writer.splice(json) } else { writer.null() }
  }

  private func source(_ source: ChangeSource, _ row: OutboxRow, _ writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("version", version)
      writer.member("connector", "postgresql")
      writer.member("name", source.name)
      writer.member("ts_ms", source.committedAt.microseconds / 1_000)
      writer.member("snapshot", "false")
      writer.member("db", source.database)
      let last = source.lastCommit.map { "\"\($0.value)\"" } ?? "null"
      writer.member("sequence", "[\(last),\"\(source.lsn.value)\"]")
      writer.member("ts_us", source.committedAt.microseconds)
      writer.member("ts_ns", source.committedAt.microseconds * 1_000)
      writer.member("schema", source.schema)
      writer.member("table", String(decoding: row.aggregateType, as: UTF8.self) + "s")
      writer.member("txId", source.transaction)
      writer.member("lsn", source.lsn.value)
      writer.name("xmin")
      writer.null()
      writer.name("origin")
      writer.null()
      writer.name("origin_lsn")
      writer.null()
    }
  }
}
