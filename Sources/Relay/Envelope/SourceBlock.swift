import JSON
import Postgres
import Time

/// Writes the `source` block of a change event (io.debezium.connector.postgresql.Source of Debezium 3.6).
struct SourceBlock {
  /// This program's.
  let version: String
  /// The logical name, Debezium's `topic.prefix`.
  let name: String

  func write(
    schema: String, table: String, snapshot: StaticString = "\"false\"", _ context: ChangeContext,
    into writer: inout JSONWriter
  ) {
    writer.object { writer in
      writer.member("version", version)
      writer.member("connector", "postgresql")
      writer.member("name", name)
      writer.member("ts_ms", context.committedAt.microseconds / 1_000)
      writer.name("snapshot")
      writer.raw(snapshot)
      writer.member("db", context.database)
      writer.name("sequence")
      // A text that is a JSON array of texts.
      writer.raw("\"[")
      if let last = context.lastCommit { Self.quoted(last.value, &writer) } else { writer.raw("null") }
      writer.raw(",")
      Self.quoted(context.lsn.value, &writer)
      writer.raw("]\"")
      writer.member("ts_us", context.committedAt.microseconds)
      writer.member("ts_ns", context.committedAt.microseconds * 1_000)
      writer.member("schema", schema)
      writer.member("table", table)
      writer.name("txId")
      // A logical message outside of transactions has none.
      if context.transaction > 0 { writer.integer(Int64(context.transaction)) } else { writer.null() }
      writer.member("lsn", context.lsn.value)
      writer.name("xmin")
      writer.null()
      writer.member("origin", orNull: context.origin?.name)
      writer.name("origin_lsn")
      if let origin = context.origin { writer.integer(Int64(bitPattern: origin.lsn.value)) } else { writer.null() }
    }
  }

  private static func quoted(_ number: UInt64, _ writer: inout JSONWriter) {
    writer.raw("\\\"")
    writer.integer(Int64(bitPattern: number))
    writer.raw("\\\"")
  }
}
