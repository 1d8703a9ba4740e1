package import JSON
import Postgres
import Time

/// Writes the `source` block of a change event (io.debezium.connector.postgresql.Source of Debezium 3.6). The part that
/// is the same in every block is encoded once, in `init`.
package struct SourceBlock {
  private let start: [UInt8]
  private var database: (name: String, json: [UInt8]) = ("", [])

  /// - Parameters:
  ///   - version: This program's version.
  ///   - name: The logical name, Debezium's `topic.prefix`.
  package init(version: String, name: String) {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("version", version)
      writer.member("connector", "postgresql")
      writer.member("name", name)
    }
    start = writer.bytes.dropLast() + Array(",\"ts_ms\":".utf8)
  }

  /// A table's name as the block has it: `"schema":…,"table":…`.
  package struct TableName {
    let json: [UInt8]

    package init(schema: String, table: String) {
      var writer = JSONWriter(reserving: 64)
      writer.member("schema", schema)
      writer.member("table", table)
      json = writer.bytes
    }
  }

  package mutating func write(
    _ table: TableName, snapshot: StaticString = "\"false\"", _ context: ChangeContext, into writer: inout JSONWriter
  ) {
    if database.name != context.database {
      database = (context.database, Array(JSONValue.string(context.database).bytes))
    }
    let time = context.committedAt.microseconds
    writer.splice(start)
    writer.integer(time / 1_000)
    writer.raw(",\"snapshot\":")
    writer.raw(snapshot)
    writer.raw(",\"db\":")
    writer.splice(database.json)
    // A string that contains a JSON array of strings.
    writer.raw(",\"sequence\":\"[")
    if let last = context.lastCommit { Self.quoted(last.value, &writer) } else { writer.raw("null") }
    writer.raw(",")
    Self.quoted(context.lsn.value, &writer)
    writer.raw("]\",\"ts_us\":")
    writer.integer(time)
    writer.raw(",\"ts_ns\":")
    writer.integer(time * 1_000)
    writer.raw(",")
    writer.splice(table.json)
    writer.raw(",\"txId\":")
    // A non-transactional logical message has no transaction id.
    if context.transaction > 0 { writer.integer(Int64(context.transaction)) } else { writer.raw("null") }
    writer.raw(",\"lsn\":")
    writer.integer(Int64(bitPattern: context.lsn.value))
    guard let origin = context.origin else {
      return writer.raw(",\"xmin\":null,\"origin\":null,\"origin_lsn\":null}")
    }
    writer.raw(",\"xmin\":null,\"origin\":")
    writer.string(origin.name)
    writer.raw(",\"origin_lsn\":")
    writer.integer(Int64(bitPattern: origin.lsn.value))
    writer.raw("}")
  }

  private static func quoted(_ number: UInt64, _ writer: inout JSONWriter) {
    writer.raw("\\\"")
    writer.integer(Int64(bitPattern: number))
    writer.raw("\\\"")
  }
}
