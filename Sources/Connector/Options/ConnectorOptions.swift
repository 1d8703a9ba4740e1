import Postgres
import Spelling

/// Options for relaying an application's tables, by Debezium's own option names (Debezium documentation, “PostgreSQL
/// connector properties”, 3.6). A connector's properties file can be used unchanged.
public struct ConnectorOptions: Sendable {
  /// `topic.prefix`
  public private(set) var prefix = ""
  /// `slot.name`
  public private(set) var slot = "debezium"
  /// `publication.name`
  public private(set) var publication = "dbz_publication"
  /// `database.*`, as a connection string; nil if the file names no host.
  public private(set) var connection: String?
  /// `topic.creation.*`, for topics that do not exist; nil: the relay's own setting, and the brokers' default.
  public private(set) var partitions: Int?
  public private(set) var replication: Int?
  /// False if topics are created by somebody else.
  public private(set) var createsTopics = true
  /// Options that have no meaning here and change no message.
  public private(set) var ignored: [String] = []

  var delimiter = "."
  var publicationMode = PublicationMode.allTables
  var snapshotMode = SnapshotMode.initial
  var tables = NameFilter()
  var schemas = NameFilter()
  var columnNames = NameFilter()
  var columns = ColumnOptions()
  /// `message.prefix.include.list` and `.exclude.list`, of logical messages.
  var messagePrefixes = NameFilter()
  var sendsTombstones = true
  var skipsOperations: Set<Character> = ["t"]
  var hasTransactionMetadata = false
  var transactionTopic = "transaction"
  /// Interval between heartbeats; nil: none.
  var heartbeat: Duration?
  var heartbeatPrefix = "__debezium-heartbeat"
  var schemaNames = NameAdjustment.none
  var fieldNames = NameAdjustment.none
  var sourceTypes: [String] = []
  var keyConverter = Converter()
  var valueConverter = Converter()
  var outbox: OutboxRouterOptions?
  var flatten: FlattenOptions?

  /// False if the options exclude all logical messages.
  var takesMessages: Bool { !messagePrefixes.excludes.contains(".*") }

  enum PublicationMode: String, CaseIterable {
    case allTables = "all_tables"
    case disabled, filtered
  }

  enum SnapshotMode: String, CaseIterable {
    case initial
    case noData = "no_data"
    case whenNeeded = "when_needed"
    case never
    case schemaOnly = "schema_only"
    var readsTables: Bool { self == .initial || self == .whenNeeded }
  }

  enum NameAdjustment: String, CaseIterable {
    case none, avro
    case avroUnicode = "avro_unicode"
  }

  struct Converter: Equatable, Sendable {
    enum Form: Equatable { case json, text, bytes }
    var form = Form.json
    var hasSchemas = false
  }

  /// Include and exclude lists of patterns. A pattern must match the whole name, ignoring case.
  struct NameFilter: Sendable {
    var includes: [String] = []
    var excludes: [String] = []
    var isEmpty: Bool { includes.isEmpty && excludes.isEmpty }
  }

  public init(parsing text: String) throws(ConnectorOptionError) {
    let properties = Properties(parsing: text)
    var reader = OptionReader(properties)
    reader.expect("connector.class", ["io.debezium.connector.postgresql.PostgresConnector", "PostgresConnector"])
    reader.expect("plugin.name", ["pgoutput"])
    prefix = reader.text("topic.prefix") ?? ""
    delimiter = reader.text("topic.delimiter") ?? delimiter
    slot = reader.text("slot.name") ?? slot
    publication = reader.text("publication.name") ?? publication
    publicationMode = reader.choice("publication.autocreate.mode") ?? publicationMode
    snapshotMode = reader.choice("snapshot.mode") ?? snapshotMode
    schemas = reader.filter("schema")
    tables = reader.filter("table")
    columnNames = reader.filter("column")
    messagePrefixes = reader.filter("message.prefix")
    columns.decimals = reader.choice("decimal.handling.mode") ?? columns.decimals
    columns.timePrecision = reader.choice("time.precision.mode") ?? columns.timePrecision
    columns.binary = reader.choice("binary.handling.mode") ?? columns.binary
    columns.intervals = reader.choice("interval.handling.mode") ?? columns.intervals
    columns.includesUnknown = reader.flag("include.unknown.datatypes") ?? false
    columns.placeholder = reader.text("unavailable.value.placeholder") ?? columns.placeholder
    reader.expect("hstore.handling.mode", ["json"])
    sendsTombstones = reader.flag("tombstones.on.delete") ?? true
    if let text = reader.text("skipped.operations") {
      skipsOperations = text == "none" ? [] : Set(text.filter { "cudt".contains($0) })
    }
    hasTransactionMetadata = reader.flag("provide.transaction.metadata") ?? false
    transactionTopic = reader.text("topic.transaction") ?? transactionTopic
    if let milliseconds = reader.number("heartbeat.interval.ms"), milliseconds > 0 {
      heartbeat = .milliseconds(milliseconds)
    }
    heartbeatPrefix = reader.text("topic.heartbeat.prefix") ?? heartbeatPrefix
    schemaNames = reader.choice("schema.name.adjustment.mode") ?? .none
    fieldNames = reader.choice("field.name.adjustment.mode") ?? .none
    sourceTypes = reader.list("column.propagate.source.type")
    let hasSchemas = reader.flag("converter.schemas.enable")
    keyConverter = reader.converter("key", hasSchemas: hasSchemas)
    valueConverter = reader.converter("value", hasSchemas: hasSchemas)
    reader.expect("header.converter.class", [OptionReader.simpleHeaders])
    reader.expect("header.converter", [OptionReader.simpleHeaders])
    createsTopics = reader.flag("topic.creation.enable") ?? true
    partitions = reader.positive("topic.creation.default.partitions")
    replication = reader.positive("topic.creation.default.replication.factor")
    reader.expect("topic.creation.groups", ["default", ""])
    reader.expect("snapshot.max.threads", ["1"])
    connection = reader.connection()
    (outbox, flatten) = reader.transform()
    if reader.problem == nil, prefix.isEmpty {
      throw ConnectorOptionError(name: "topic.prefix", line: nil, reason: "it is required: topic names start with it")
    }
    if outbox?.expandsPayload == true, valueConverter.hasSchemas {
      reader.refuse(
        "transforms.\(outbox?.alias ?? "").table.expand.json.payload",
        "an expanded payload has no schema: set value.converter.schemas.enable=false")
    }
    ignored = reader.ignored()
    if let problem = reader.problem { throw problem }
  }
}

/// A connector option that is invalid or not supported. The relay does not start with only some of the options.
public struct ConnectorOptionError: Error, Equatable, CustomStringConvertible {
  public let name: String
  public let line: Int?
  public let reason: String
  public var description: String { "\(name)\(line.map { " (line \($0))" } ?? ""): \(reason)" }
}
