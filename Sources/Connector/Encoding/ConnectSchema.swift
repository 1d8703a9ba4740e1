import JSON

/// Writes schemas as Kafka Connect's JsonConverter does with `schemas.enable`.
enum ConnectSchema {
  /// A field of a struct. Members come in the converter's order: type, fields, optional, name, version, doc, parameters,
  /// default, field.
  static func field(
    _ column: ColumnWriter, source: SourceColumn? = nil, _ options: ColumnOptions, into writer: inout JSONWriter
  ) {
    writer.element()
    writer.object { writer in
      members(column.type, isOptional: column.isOptional, source, options, &writer)
      if let value = column.defaultValue {
        writer.name("default")
        writer.splice(value)
      }
      writer.member("field", column.name)
    }
  }

  /// A field that is added to a row. It is always optional.
  static func addition(
    _ addition: FlattenOptions.Addition, column: ColumnWriter?, _ options: ColumnOptions, into writer: inout JSONWriter
  ) {
    switch addition.part {
    case .before, .after:
      guard let column else { return }
      writer.element()
      writer.object { writer in
        members(column.type, isOptional: true, nil, options, &writer)
        writer.member("field", addition.name)
      }
    case .source where addition.field == "snapshot":
      writer.element()
      writer.splice(marker.utf8)
      writer.raw(",\"field\":")
      writer.string(addition.name)
      writer.raw("}")
    case .source:
      self.addition(addition.name, type: FlattenOptions.Addition.sourceTypes[addition.field] ?? "string", into: &writer)
    case .transaction:
      self.addition(
        addition.name, type: FlattenOptions.Addition.transactionTypes[addition.field] ?? "string", into: &writer)
    case nil: self.addition(addition.name, type: addition.field == "op" ? "string" : "int64", into: &writer)
    }
  }

  static func addition(_ name: String, type: String, into writer: inout JSONWriter) {
    writer.element()
    writer.object { writer in
      writer.member("type", type)
      writer.member("optional", true)
      writer.member("field", name)
    }
  }

  /// A standalone schema, for a key or a value that is not a struct.
  static func alone(_ column: ColumnWriter, _ options: ColumnOptions, into writer: inout JSONWriter) {
    writer.object { members(column.type, isOptional: column.isOptional, nil, options, &$0) }
  }

  /// The source column that `column.propagate.source.type` describes.
  struct SourceColumn {
    let name: String
    let type: TypeDescription
  }

  private static func members(
    _ type: ColumnType, isOptional: Bool, _ source: SourceColumn?, _ options: ColumnOptions,
    _ writer: inout JSONWriter
  ) {
    let form = form(type, options)
    writer.member("type", form.type)
    if case .array(let element) = type {
      writer.name("items")
      writer.object { members(element, isOptional: true, nil, options, &$0) }
    }
    if let fields = form.fields {
      writer.name("fields")
      writer.splice(fields.utf8)
    }
    writer.member("optional", isOptional)
    if let name = form.name {
      writer.member("name", name)
      writer.member("version", 1)
    }
    if let documentation = form.documentation { writer.member("doc", documentation) }
    let parameters = form.parameters + (source.map(Self.parameters) ?? [])
    if !parameters.isEmpty {
      writer.name("parameters")
      writer.object { writer in
        for (name, value) in parameters { writer.member(name, value) }
      }
    }
  }

  private struct SchemaForm {
    var type: String
    var name: String?
    var fields: String?
    var documentation: String?
    var parameters: [(String, String)] = []
  }

  private static func form(_ type: ColumnType, _ options: ColumnOptions) -> SchemaForm {
    let isConnect = options.timePrecision == .connect
    func decimal(_ parameters: [(String, String)]) -> SchemaForm {
      switch options.decimals {
      case .precise: SchemaForm(type: "bytes", name: "org.apache.kafka.connect.data.Decimal", parameters: parameters)
      case .double: SchemaForm(type: "double")
      case .string: SchemaForm(type: "string")
      }
    }
    func time(_ unit: ColumnType.TimeUnit, _ name: String, milliseconds: String) -> SchemaForm {
      let name =
        switch unit {
        case .milliseconds: isConnect ? "org.apache.kafka.connect.data.\(name)" : "io.debezium.time.\(name)"
        case .microseconds: "io.debezium.time.Micro\(name)"
        case .nanoseconds: "io.debezium.time.Nano\(name)"
        }
      return SchemaForm(type: unit == .milliseconds ? milliseconds : "int64", name: name)
    }
    switch type {
    case .boolean: return SchemaForm(type: "boolean")
    case .int16: return SchemaForm(type: "int16")
    case .int32: return SchemaForm(type: "int32")
    case .int64: return SchemaForm(type: "int64")
    case .float32: return SchemaForm(type: "float")
    case .float64: return SchemaForm(type: "double")
    case .decimal(let precision, let scale):
      return decimal([("scale", "\(scale)"), ("connect.decimal.precision", "\(precision)")])
    case .money: return decimal([("scale", "2")])
    case .variableDecimal:
      guard options.decimals == .precise else { return decimal([]) }
      return SchemaForm(
        type: "struct", name: "io.debezium.data.VariableScaleDecimal",
        fields:
          #"[{"type":"int32","optional":false,"field":"scale"},{"type":"bytes","optional":false,"field":"value"}]"#,
        documentation: "Variable scaled decimal")
    case .text: return SchemaForm(type: "string")
    case .bytes, .unknown, .geometric: return SchemaForm(type: options.binary == .bytes ? "bytes" : "string")
    case .json, .hstore: return SchemaForm(type: "string", name: "io.debezium.data.Json")
    case .xml: return SchemaForm(type: "string", name: "io.debezium.data.Xml")
    case .uuid: return SchemaForm(type: "string", name: "io.debezium.data.Uuid")
    case .ltree: return SchemaForm(type: "string", name: "io.debezium.data.Ltree")
    case .tsvector: return SchemaForm(type: "string", name: "io.debezium.data.Tsvector")
    case .enumeration(let labels):
      return SchemaForm(
        type: "string", name: "io.debezium.data.Enum", parameters: [("allowed", labels.joined(separator: ","))])
    case .bits(let length):
      return SchemaForm(type: "bytes", name: "io.debezium.data.Bits", parameters: [("length", "\(length)")])
    case .date:
      return SchemaForm(type: "int32", name: isConnect ? "org.apache.kafka.connect.data.Date" : "io.debezium.time.Date")
    case .time(let unit): return time(unit, "Time", milliseconds: "int32")
    case .timestamp(let unit): return time(unit, "Timestamp", milliseconds: "int64")
    case .timeWithZone: return SchemaForm(type: "string", name: "io.debezium.time.ZonedTime")
    case .timestampWithZone: return SchemaForm(type: "string", name: "io.debezium.time.ZonedTimestamp")
    case .interval:
      return options.intervals == .numeric
        ? SchemaForm(type: "int64", name: "io.debezium.time.MicroDuration")
        : SchemaForm(type: "string", name: "io.debezium.time.Interval")
    case .point:
      return SchemaForm(
        type: "struct", name: "io.debezium.data.geometry.Point",
        fields: #"[{"type":"double","optional":false,"field":"x"},{"type":"double","optional":false,"field":"y"},"#
          + #"{"type":"bytes","optional":true,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}]"#,
        documentation: "Geometry (POINT)")
    case .array: return SchemaForm(type: "array")
    }
  }

  /// Length and scale as the JDBC driver reports them (PgDatabaseMetaData.getColumns, COLUMN_SIZE and DECIMAL_DIGITS).
  private static func parameters(_ source: SourceColumn) -> [(String, String)] {
    let modifier = Int(source.type.modifier)
    let (length, scale): (Int, Int) =
      switch source.type.name {
      case "int2": (5, 0)
      case "int4": (10, 0)
      case "int8": (19, 0)
      case "float4": (8, 8)
      case "float8": (17, 17)
      case "bool", "char": (1, 0)
      case "varchar", "bpchar": (modifier < 4 ? Int(Int32.max) : modifier - 4, 0)
      case "numeric": modifier < 4 ? (131_089, 0) : ((modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF)
      case "bit", "varbit": (modifier < 0 ? Int(Int32.max) : modifier, 0)
      case "date": (13, 0)
      case "time": (15, modifier < 0 ? 6 : modifier)
      case "timetz": (21, modifier < 0 ? 6 : modifier)
      case "timestamp": (modifier < 0 ? 29 : modifier == 0 ? 22 : 23 + modifier, modifier < 0 ? 6 : modifier)
      case "timestamptz": (modifier < 0 ? 35 : modifier == 0 ? 28 : 29 + modifier, modifier < 0 ? 6 : modifier)
      default: (Int(Int32.max), 0)
      }
    let prefix = "__debezium.source.column"
    return [
      ("\(prefix).type", source.type.name.uppercased()), ("\(prefix).length", "\(length)"),
      ("\(prefix).scale", "\(scale)"), ("\(prefix).name", source.name),
    ]
  }

  // MARK: Schemas that do not depend on a table

  private static func fields(_ fields: [(type: String, isOptional: Bool, name: String)]) -> String {
    "["
      + fields.map { #"{"type":"\#($0.type)","optional":\#($0.isOptional),"field":"\#($0.name)"}"# }
      .joined(separator: ",") + "]"
  }

  /// Beginning of the schema of the `snapshot` field, which marks a row's place in a snapshot.
  private static let marker =
    #"{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"#
    + #""true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"}"#

  static let source =
    #"{"type":"struct","fields":["#
    + #"{"type":"string","optional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"},"#
    + #"{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"field":"ts_ms"},"#
    + marker + #","default":"false","field":"snapshot"},{"type":"string","optional":false,"field":"db"},"#
    + #"{"type":"string","optional":true,"field":"sequence"},{"type":"int64","optional":true,"field":"ts_us"},"#
    + #"{"type":"int64","optional":true,"field":"ts_ns"},{"type":"string","optional":false,"field":"schema"},"#
    + #"{"type":"string","optional":false,"field":"table"},{"type":"int64","optional":true,"field":"txId"},"#
    + #"{"type":"int64","optional":true,"field":"lsn"},{"type":"int64","optional":true,"field":"xmin"},"#
    + #"{"type":"string","optional":true,"field":"origin"},{"type":"int64","optional":true,"field":"origin_lsn"}],"#
    + #""optional":false,"name":"io.debezium.connector.postgresql.Source","version":1,"field":"source"}"#

  static let transactionBlock =
    #"{"type":"struct","fields":"#
    + fields([("string", false, "id"), ("int64", false, "total_order"), ("int64", false, "data_collection_order")])
    + #","optional":true,"name":"event.block","version":1,"field":"transaction"}"#

  static let transactionKey =
    #"{"type":"struct","fields":"# + fields([("string", false, "id")])
    + #","optional":false,"name":"io.debezium.connector.common.TransactionMetadataKey","version":1}"#

  static let transactionValue =
    #"{"type":"struct","fields":[{"type":"string","optional":false,"field":"status"},"#
    + #"{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":true,"field":"event_count"},"#
    + #"{"type":"array","items":{"type":"struct","fields":"#
    + fields([("string", false, "data_collection"), ("int64", false, "event_count")])
    + #","optional":true,"name":"event.collection","version":1},"optional":true,"field":"data_collections"},"#
    + #"{"type":"int64","optional":false,"field":"ts_ms"}],"optional":false,"#
    + #""name":"io.debezium.connector.common.TransactionMetadataValue","version":1}"#

  static let heartbeatKey =
    #"{"type":"struct","fields":"# + fields([("string", false, "serverName")])
    + #","optional":false,"name":"io.debezium.connector.common.ServerNameKey","version":1}"#

  static let heartbeatValue =
    #"{"type":"struct","fields":"# + fields([("int64", false, "ts_ms")])
    + #","optional":false,"name":"io.debezium.connector.common.Heartbeat","version":1}"#

  static let messageKey =
    #"{"type":"struct","fields":"# + fields([("string", true, "prefix")])
    + #","optional":false,"name":"io.debezium.connector.postgresql.MessageKey","version":1}"#

  static let messageValue =
    #"{"type":"struct","fields":[{"type":"string","optional":false,"field":"op"},"#
    + #"{"type":"int64","optional":true,"field":"ts_ms"},\#(source),\#(transactionBlock),"#
    + #"{"type":"struct","fields":"# + fields([("string", true, "prefix"), ("bytes", true, "content")])
    + #","optional":false,"name":"io.debezium.connector.postgresql.Message","version":1,"field":"message"}],"#
    + #""optional":false,"name":"io.debezium.connector.postgresql.MessageValue","version":1}"#
}
