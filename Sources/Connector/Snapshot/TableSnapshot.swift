import Postgres
import Relay
import Schema

/// Reads tables as a snapshot sees them, by COPY in text form: values come as pgoutput sends them.
struct TableSnapshot {
  struct Table {
    let id: UInt32
    let schema: String
    let name: String
  }

  static let publishedTables = Query("published_tables", Schema.publishedTables)

  /// The tables of a publication, by name.
  static func tables(of publication: String, _ session: PostgresSession) async throws -> [Table] {
    var tables: [Table] = []
    for row in try await session.query(publishedTables, [.text(publication)]) {
      tables.append(
        Table(
          id: UInt32(truncatingIfNeeded: try row.get(0, as: Int.self)), schema: try row.get(1), name: try row.get(2)))
    }
    return tables
  }

  /// The table as pgoutput would announce it.
  static func relation(_ table: Table, _ description: TableDescription) -> PgOutputMessage.Relation {
    PgOutputMessage.Relation(
      id: table.id, schema: table.schema, name: table.name,
      columns: description.columns.map { .init(name: $0.name, type: $0.typeID, modifier: $0.type.modifier) })
  }

  static func query(_ description: TableDescription) -> Query {
    let columns = description.columns.map { quotedIdentifier($0.name) }.joined(separator: ", ")
    return Query(
      "",
      "copy (select \(columns) from \(quotedIdentifier(description.schema)).\(quotedIdentifier(description.name))) to stdout"
    )
  }

  /// One line of a COPY in text form (PostgreSQL documentation, “COPY”, “Text Format”), parsed. Owns its bytes.
  struct Row {
    private var bytes: [UInt8] = []
    private var columns: [Range<Int>?] = []

    init(_ line: UnsafeRawBufferPointer) {
      bytes.reserveCapacity(line.count)
      var start = 0
      var isNull = false
      var index = 0
      func escaped(_ byte: UInt8) -> UInt8 {
        switch Unicode.Scalar(byte) {
        case "b": 8
        case "f": 12
        case "n": 10
        case "r": 13
        case "t": 9
        case "v": 11
        default: byte
        }
      }
      let end = line.last == UInt8(ascii: "\n") ? line.count - 1 : line.count
      while index <= end {
        if index == end || line[index] == UInt8(ascii: "\t") {
          columns.append(isNull ? nil : start..<bytes.count)
          (start, isNull) = (bytes.count, false)
        } else if line[index] == UInt8(ascii: "\\"), index + 1 < end {
          index += 1
          if line[index] == UInt8(ascii: "N") { isNull = true } else { bytes.append(escaped(line[index])) }
        } else {
          bytes.append(line[index])
        }
        index += 1
      }
    }

    /// Lends the row as a tuple of texts.
    func withTuple<R>(_ body: (PgOutputMessage.Tuple) throws -> R) rethrows -> R {
      try bytes.withUnsafeBytes { bytes in
        try body(
          PgOutputMessage.Tuple(
            columns: columns.map { range in
              range.map { .text(UnsafeRawBufferPointer(rebasing: bytes[$0])) } ?? .null
            }))
      }
    }
  }
}
