import JSON
import Relay

/// Encodes rows of one table, for one layout of the rows.
struct TableEncoder {
  let schema: String
  let table: String
  let topic: String
  let sourceName: SourceBlock.TableName
  /// The table's name in transaction metadata.
  var collection: String { "\(schema).\(table)" }
  /// Writers in the order of the row's columns; nil: the column is left out.
  let columns: [ColumnWriter?]
  /// Indices of the primary key's columns.
  let key: [Int]
  private let keyStart: [UInt8]
  private let valueStart: [UInt8]
  private let names: [String]

  init(_ relation: PgOutputMessage.Relation, _ description: TableDescription, _ options: ConnectorOptions) throws {
    (schema, table) = (relation.schema, relation.name)
    names = relation.columns.map(\.name)
    sourceName = SourceBlock.TableName(schema: relation.schema, table: relation.name)
    topic = TableNames.topic(relation.schema, relation.name, options)
    let filter = try NameMatcher(options.columnNames)
    let isPropagated = try options.sourceTypes.map { try NamePattern($0) }
    var sources: [ConnectSchema.SourceColumn?] = []
    let columns = relation.columns.map { column -> ColumnWriter? in
      // The catalog shows the table's current state. For a column that it no longer has, the relation message must do.
      let known =
        description.columns.first { $0.name == column.name && $0.typeID == column.type }
        ?? ColumnDescription(
          name: column.name, isOptional: true, defaultExpression: nil, isIdentity: false, keyPosition: nil,
          typeID: column.type, type: BuiltinTypes.description(column.type, modifier: column.modifier))
      let path = "\(relation.schema).\(relation.name).\(column.name)"
      sources.append(
        isPropagated.contains { $0.matches(path) }
          ? ConnectSchema.SourceColumn(name: column.name, type: known.type) : nil)
      let writer = ColumnWriter(known, named: TableNames.field(column.name, options), options.columns)
      return writer.type.isUnknown && !options.columns.includesUnknown || !filter.contains(path) ? nil : writer
    }
    let key = description.key.compactMap { column in relation.columns.firstIndex { $0.name == column.name } }
    (self.columns, self.key) = (columns, key)
    var seen: Set<String> = []
    for column in columns.compactMap({ $0 }) where !seen.insert(column.name).inserted {
      throw AmbiguousColumn(table: "\(relation.schema).\(relation.name)", field: column.name)
    }
    let name = TableNames.schemaName(topic, options)
    func fields(_ indices: [Int], _ writer: inout JSONWriter, hasSources: Bool) {
      writer.name("fields")
      writer.array { writer in
        for index in indices {
          guard let column = columns[index] else { continue }
          ConnectSchema.field(column, source: hasSources ? sources[index] : nil, options.columns, into: &writer)
        }
      }
    }
    if options.keyConverter.hasSchemas {
      var writer = JSONWriter()
      writer.raw("{\"schema\":")
      writer.object { writer in
        writer.member("type", "struct")
        fields(key, &writer, hasSources: false)
        writer.member("optional", false)
        writer.member("name", "\(name).Key")
      }
      writer.raw(",\"payload\":")
      keyStart = writer.bytes
    } else {
      keyStart = []
    }
    if options.valueConverter.hasSchemas, let flatten = options.flatten {
      var writer = JSONWriter()
      writer.raw("{\"schema\":{\"type\":\"struct\"")
      writer.name("fields")
      writer.array { writer in
        for (index, column) in columns.enumerated() {
          guard let column else { continue }
          ConnectSchema.field(column, source: sources[index], options.columns, into: &writer)
        }
        if flatten.deletions.isRewritten { ConnectSchema.addition("__deleted", type: "string", into: &writer) }
        for addition in flatten.fields {
          let column = relation.columns.firstIndex { $0.name == addition.field }.flatMap { columns[$0] }
          ConnectSchema.addition(addition, column: column, options.columns, into: &writer)
        }
      }
      writer.raw(",\"optional\":false,\"name\":")
      writer.string("\(name).Value")
      writer.raw("},\"payload\":")
      valueStart = writer.bytes
    } else if options.valueConverter.hasSchemas {
      var writer = JSONWriter()
      writer.raw("{\"schema\":{\"type\":\"struct\",\"fields\":[")
      for side in ["before", "after"] {
        writer.object { writer in
          writer.member("type", "struct")
          fields(Array(columns.indices), &writer, hasSources: true)
          writer.member("optional", true)
          writer.member("name", "\(name).Value")
          writer.member("field", side)
        }
        writer.raw(",")
      }
      writer.splice(ConnectSchema.source.utf8)
      writer.raw(",")
      writer.splice(ConnectSchema.transactionBlock.utf8)
      writer.raw(
        """
        ,{"type":"string","optional":false,"field":"op"},{"type":"int64","optional":true,"field":"ts_ms"},\
        {"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"}],\
        "optional":false,"name":
        """)
      writer.string("\(name).Envelope")
      writer.raw(",\"version\":2},\"payload\":")
      valueStart = writer.bytes
    } else {
      valueStart = []
    }
  }

  /// Two columns would have the same field name in the message.
  struct AmbiguousColumn: Error, CustomStringConvertible {
    let table: String
    let field: String
    var description: String {
      "two columns of \(table) would both be the field “\(field)”: choose another field.name.adjustment.mode, or "
        + "exclude one of them with column.exclude.list"
    }
  }

  func index(of column: String) -> Int? { names.firstIndex(of: column) }

  /// A row as an object.
  func row(_ tuple: PgOutputMessage.Tuple?, into writer: inout JSONWriter) {
    guard let tuple else { return writer.null() }
    writer.object { members(tuple, into: &$0) }
  }

  /// The members of a row.
  func members(_ tuple: PgOutputMessage.Tuple, into writer: inout JSONWriter) {
    for (index, value) in tuple.columns.enumerated() where index < columns.count {
      guard let column = columns[index] else { continue }
      writer.name(column.name)
      column.write(value, into: &writer)
    }
  }

  /// The key's members, without a schema.
  func keyMembers(_ tuple: PgOutputMessage.Tuple, into writer: inout JSONWriter) {
    writer.object { writer in
      for index in key where index < tuple.columns.count {
        guard let column = columns[index] else { continue }
        writer.name(column.name)
        column.write(tuple.columns[index], into: &writer)
      }
    }
  }

  /// Encodes the key; nil for a table without a primary key.
  func key(_ tuple: PgOutputMessage.Tuple, in batch: inout MessageBatch) -> Range<Int>? {
    guard !key.isEmpty else { return nil }
    return batch.written { writer in
      writer.splice(keyStart)
      keyMembers(tuple, into: &writer)
      if !keyStart.isEmpty { writer.raw("}") }
    }
  }

  func value(in batch: inout MessageBatch, _ payload: (inout JSONWriter) -> Void) -> Range<Int> {
    batch.written { writer in
      writer.splice(valueStart)
      payload(&writer)
      if !valueStart.isEmpty { writer.raw("}") }
    }
  }
}

/// Names derived from a table's name.
enum TableNames {
  /// The topic's name. Characters that Kafka allows are kept; all others become an underscore.
  static func topic(_ schema: String, _ table: String, _ options: ConnectorOptions) -> String {
    let name = [options.prefix, schema, table].joined(separator: options.delimiter)
    return String(
      name.map { character in
        guard let byte = character.asciiValue, character.unicodeScalars.count == 1 else { return "_" }
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: return character
        default: return "_"
        }
      })
  }

  static func schemaName(_ topic: String, _ options: ConnectorOptions) -> String {
    topic.split(separator: ".", omittingEmptySubsequences: false)
      .map { adjusted(String($0), options.schemaNames) }.joined(separator: ".")
  }

  static func field(_ name: String, _ options: ConnectorOptions) -> String { adjusted(name, options.fieldNames) }

  /// Avro's names: letters, digits and underscores, no digit first. `avro_unicode` writes the code of replaced ones.
  private static func adjusted(_ name: String, _ mode: ConnectorOptions.NameAdjustment) -> String {
    guard mode != .none else { return name }
    var result = ""
    for (index, unit) in name.utf16.enumerated() {
      switch unit {
      case 0x41...0x5A, 0x61...0x7A: result.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
      case 0x30...0x39 where index > 0: result.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
      case 0x5F where mode == .avro: result += "_"
      default:
        let digits = String(unit, radix: 16)
        result += mode == .avro ? "_" : "_u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    return result
  }
}

/// Types by OID, for columns that the catalog no longer has.
enum BuiltinTypes {
  static func description(_ id: UInt32, modifier: Int32) -> TypeDescription {
    let names: [UInt32: String] = [
      16: "bool", 17: "bytea", 18: "char", 19: "name", 20: "int8", 21: "int2", 23: "int4", 25: "text", 26: "oid",
      114: "json", 142: "xml", 600: "point", 700: "float4", 701: "float8", 790: "money", 829: "macaddr", 869: "inet",
      650: "cidr", 774: "macaddr8", 1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp",
      1184: "timestamptz", 1186: "interval", 1266: "timetz", 1560: "bit", 1562: "varbit", 1700: "numeric",
      2950: "uuid", 3614: "tsvector", 3802: "jsonb", 3904: "int4range", 3926: "int8range", 3906: "numrange",
      3908: "tsrange", 3910: "tstzrange", 3912: "daterange",
    ]
    let arrays: [UInt32: String] = [
      1000: "bool", 1001: "bytea", 1005: "int2", 1007: "int4", 1016: "int8", 1009: "text", 1015: "varchar",
      1014: "bpchar", 1021: "float4", 1022: "float8", 1231: "numeric", 2951: "uuid", 1182: "date", 1115: "timestamp",
      1185: "timestamptz", 199: "json", 3807: "jsonb",
    ]
    if let element = arrays[id] { return TypeDescription(name: "_\(element)", modifier: modifier, element: element) }
    return TypeDescription(name: names[id] ?? "", modifier: modifier)
  }
}
