import JSON
import Postgres
import Schema

/// A table's description from the catalog, which has details that pgoutput does not send.
struct TableDescription {
  let id: UInt32
  let schema: String
  let name: String
  let columns: [ColumnDescription]

  /// The primary key's columns, in its order.
  var key: [ColumnDescription] {
    columns.filter { $0.keyPosition != nil }.sorted { ($0.keyPosition ?? 0) < ($1.keyPosition ?? 0) }
  }

  static let columnsQuery = Query("table_columns", Schema.tableColumns)

  /// Queries the catalog. A dropped table has no columns.
  static func read(
    _ id: UInt32, schema: String, name: String, _ session: PostgresSession
  ) async throws -> TableDescription {
    let rows = try await session.query(columnsQuery, [.bigint(Int64(id))])
    var columns: [ColumnDescription] = []
    for row in rows {
      let labels = try row.optional(7, as: String.self).map { try JSONValue(parsing: Array($0.utf8)) }
      let type = TypeDescription(
        name: try row.get(5), modifier: Int32(try row.get(6, as: Int.self)),
        labels: labels?.array?.compactMap(\.string) ?? [], element: try row.optional(8))
      columns.append(
        ColumnDescription(
          name: try row.get(0), isOptional: try row.get(1), defaultExpression: try row.optional(2),
          isIdentity: try row.get(9), keyPosition: try row.optional(3, as: Int.self),
          typeID: UInt32(truncatingIfNeeded: try row.get(4, as: Int.self)), type: type))
    }
    return TableDescription(id: id, schema: schema, name: name, columns: columns)
  }
}

/// One column of a table.
struct ColumnDescription {
  let name: String
  let isOptional: Bool
  /// The default expression as pg_get_expr() prints it.
  let defaultExpression: String?
  let isIdentity: Bool
  /// Its place in the primary key, from 1.
  let keyPosition: Int?
  /// The type's OID, as pgoutput sends it.
  let typeID: UInt32
  let type: TypeDescription
}

/// A type from the catalog, with domains resolved to their base type.
struct TypeDescription: Equatable {
  /// Name in pg_type: `int4`, `varchar`, `_text`.
  let name: String
  /// Length, precision, scale; -1 for none.
  let modifier: Int32
  /// Labels of an enumeration.
  var labels: [String] = []
  /// Element type of an array.
  var element: String?
}
