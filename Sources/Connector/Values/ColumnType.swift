/// The JSON form and the schema of a column's values: Debezium 3.6, PostgreSQL connector, “Data type mappings”, checked
/// against Debezium's own output.
indirect enum ColumnType: Equatable {
  case boolean, int16, int32, int64
  case float32, float64
  /// numeric(precision, scale).
  case decimal(precision: Int, scale: Int)
  /// numeric without a scale.
  case variableDecimal
  case money
  /// Text as Postgres writes it.
  case text
  case bytes
  case json, xml, uuid, ltree, tsvector, hstore
  case enumeration(labels: [String])
  case bits(length: Int)
  case date
  case time(TimeUnit), timestamp(TimeUnit)
  case timeWithZone
  case timestampWithZone(digits: Int)
  case interval
  case point
  case array(of: ColumnType)
  /// box, line, lseg, path, polygon, circle: also unknown to Debezium, but numbers are written as in Java.
  case geometric
  /// A type that Debezium does not know: its text as bytes, sent only with `include.unknown.datatypes`.
  case unknown

  /// True if the column is sent only with `include.unknown.datatypes`.
  var isUnknown: Bool { self == .unknown || self == .geometric }

  enum TimeUnit: Int64, Equatable { case milliseconds = 1_000, microseconds = 1, nanoseconds = 0 }

  init(_ type: TypeDescription, _ options: ColumnOptions) {
    if let element = type.element {
      let inner = ColumnType(
        TypeDescription(name: element, modifier: type.modifier, labels: type.labels), options)
      // Debezium does not support every type as the element of an array.
      switch inner {
      case .unknown, .geometric, .interval, .array, .money, .xml, .point, .tsvector, .ltree: self = .unknown
      default: self = .array(of: inner)
      }
      return
    }
    if !type.labels.isEmpty {
      self = .enumeration(labels: type.labels)
      return
    }
    let modifier = type.modifier
    switch type.name {
    case "bool": self = .boolean
    case "int2": self = .int16
    case "int4": self = .int32
    case "int8", "oid": self = .int64
    case "float4": self = .float32
    case "float8": self = .float64
    case "numeric":
      // After subtracting 4, the header's length: precision in the upper 16 bits, scale in the lower 11 bits.
      self =
        modifier < 4
        ? .variableDecimal
        : .decimal(precision: Int(modifier - 4) >> 16 & 0xFFFF, scale: Int(modifier - 4) & 0x7FF)
    case "money": self = .money
    case "text", "varchar", "bpchar", "char", "name", "citext", "inet", "cidr", "macaddr", "macaddr8", "int4range",
      "int8range", "numrange", "tsrange", "tstzrange", "daterange":
      self = .text
    case "bytea": self = .bytes
    case "json", "jsonb": self = .json
    case "xml": self = .xml
    case "uuid": self = .uuid
    case "ltree": self = .ltree
    case "tsvector": self = .tsvector
    case "hstore": self = .hstore
    case "bit": self = modifier == 1 ? .boolean : .bits(length: Int(modifier))
    case "varbit": self = .bits(length: modifier < 0 ? Int(Int32.max) : Int(modifier))
    case "date": self = .date
    case "time": self = .time(options.timePrecision.unit(digits: modifier))
    case "timestamp": self = .timestamp(options.timePrecision.unit(digits: modifier))
    case "timetz": self = .timeWithZone
    case "timestamptz": self = .timestampWithZone(digits: modifier < 0 ? 6 : Int(modifier))
    case "interval": self = .interval
    case "point": self = .point
    case "box", "line", "lseg", "path", "polygon", "circle": self = .geometric
    default: self = .unknown
    }
  }
}

/// Debezium's options for the form of values, by Debezium's names.
struct ColumnOptions: Equatable {
  /// `decimal.handling.mode`
  enum Decimals: String, CaseIterable { case precise, double, string }
  /// `time.precision.mode`
  enum TimePrecision: String, CaseIterable {
    case adaptive
    case adaptiveTimeMicroseconds = "adaptive_time_microseconds"
    case microseconds, nanoseconds, connect

    func unit(digits: Int32) -> ColumnType.TimeUnit {
      switch self {
      case .adaptive: (0...3).contains(digits) ? .milliseconds : .microseconds
      case .adaptiveTimeMicroseconds: (0...3).contains(digits) ? .milliseconds : .microseconds
      case .microseconds: .microseconds
      case .nanoseconds: .nanoseconds
      case .connect: .milliseconds
      }
    }
  }
  /// `binary.handling.mode`
  enum Binary: String, CaseIterable {
    case bytes, base64
    case base64URLSafe = "base64-url-safe"
    case hex
  }
  /// `interval.handling.mode`
  enum Intervals: String, CaseIterable { case numeric, string }

  var decimals = Decimals.precise
  var timePrecision = TimePrecision.adaptive
  var binary = Binary.bytes
  var intervals = Intervals.numeric
  /// `include.unknown.datatypes`
  var includesUnknown = false
  /// `unavailable.value.placeholder`
  var placeholder = "__debezium_unavailable_value"
}
