public import CommandLine
import Configuration
public import Logging
import Relay

/// Every setting, once. The reference page in docs/settings.md is printed from here.
enum Settings {
  private static let ports: @Sendable (Int) -> Bool = { (1...65_535).contains($0) }
  private static let aPort = "a port from 1 to 65535"

  static let postgresURL = Setting(
    "postgres.url", default: "postgresql://annals@127.0.0.1:25432/annals",
    "Connection string of libpq. The relay needs the right to replicate, `migrate` to create.")
  static let postgresPool = Setting(
    "postgres.pool-size", default: 4, "Connections of each reactor.", accepts: { (1...256).contains($0) },
    remedy: "a number from 1 to 256")
  static let statementTimeout = Setting(
    "postgres.statement-timeout", default: Duration.seconds(30), "After which the server ends a statement.")
  static let preparedStatements = Setting(
    "postgres.prepared-statements", default: true,
    "Whether statements are prepared. Turn it off behind a PgBouncer older than 1.21.")

  static let redisURL = Setting(
    "redis.url", default: "redis://127.0.0.1:26379", "Where Redis is: redis://[:password@]host[:port][/database].")

  static let kafkaBrokers = Setting(
    "kafka.brokers", default: "127.0.0.1:29092", "Kafka's bootstrap servers, with commas between.")
  static let kafkaSettings = Setting(
    "kafka.settings", default: "", isSecret: true,
    "More settings of librdkafka, as name=value with commas between: security.protocol=sasl_ssl,…",
    accepts: { KafkaSettings($0) != nil }, remedy: "name=value pairs with commas between")

  static let elasticsearchURL = Setting(
    "elasticsearch.url", default: "http://127.0.0.1:29200", "Where Elasticsearch is: http://[user:password@]host:port.")
  static let elasticsearchAlias = Setting(
    "elasticsearch.alias", default: "documents", "The alias under which documents are searched.")

  static let s3Endpoint = Setting("s3.endpoint", default: "http://127.0.0.1:29000", "Where the object store is.")
  static let s3Bucket = Setting("s3.bucket", default: "annals", "The bucket for documents' contents.")
  static let s3AccessKey = Setting("s3.access-key", default: "annals", "Access key of the object store.")
  static let s3SecretKey = Setting(
    "s3.secret-key", default: "annals-secret", isSecret: true, "Secret key of the object store.")
  static let s3Region = Setting("s3.region", default: "us-east-1", "Region for the object store's signatures.")

  static let httpAddress = Setting("http.address", default: "127.0.0.1", "Address that the services listen on.")
  static let httpPort = Setting(
    "http.port", default: 28_080, "Port that the services listen on.", accepts: ports, remedy: aPort)
  static let reactors = Setting(
    "http.reactors", default: 0, "Event loops that serve requests; 0: one for each core.",
    accepts: { (0...256).contains($0) }, remedy: "a number from 0 to 256")
  static let maximumContent = Setting(
    "documents.max-content", default: ByteCount.mebibytes(32), "Largest content of a document.")

  static let relaySlot = Setting("relay.slot", default: "annals_relay", "The relay's replication slot.")
  static let relayPublication = Setting("relay.publication", default: "annals_outbox", "The outbox's publication.")
  static let relayTopic = Setting(
    "relay.topic", default: "cdc.{aggregate}s", "Topics' names; {aggregate} is the aggregate's type.",
    accepts: { TopicTemplate($0) != nil }, remedy: "a topic's name with {aggregate} in it")
  static let relayName = Setting("relay.name", default: "cdc", "Logical name in envelopes (Debezium's topic.prefix).")
  static let relayPartitions = Setting(
    "relay.partitions", default: 6, "Partitions of topics that the relay makes.",
    accepts: { (1...10_000).contains($0) }, remedy: "a number from 1 to 10000")
  static let relayCompression = Setting(
    "relay.compression", default: Compression.lz4, "Codec of what the relay sends to Kafka.")
  static let relayMaximumInFlight = Setting(
    "relay.max-in-flight", default: ByteCount.mebibytes(32), "Messages that may wait for Kafka's acknowledgement.")
  static let relaySource = Setting(
    "relay.source", default: Source.wal,
    "From where the outbox is read: wal (a replication slot), or table (no right to replicate is needed).")
  static let relayShard = Setting(
    "relay.shard", default: "0/1",
    "With relay.source=table: which part of the keys this relay has, and of how many: 0/2 and 1/2 share the work.",
    accepts: { Shard($0) != nil }, remedy: "a part and how many there are, as 0/2")
  static let relayDelivery = Setting(
    "relay.delivery", default: RelayOptions.Delivery.atLeastOnce,
    "at-least-once, or exactly-once: Kafka transactions, for consumers with isolation.level=read_committed.")
  static let relayCatchUp = Setting(
    "relay.catch-up", default: ByteCount.mebibytes(64),
    "How far the WAL may lie behind before Annals' outbox is read from the table instead; 0: however far.")
  static let relayOrigins = Setting(
    "relay.origins", default: Origins.any,
    "Which changes: any, or local (what logical replication brought here from elsewhere is left out).")
  static let relaySpoolDirectory = Setting(
    "relay.spool-directory", default: "",
    "Where large transactions that still run are kept once they are larger than relay.spool-memory; empty: TMPDIR, or /tmp."
  )
  static let relaySpoolMemory = Setting(
    "relay.spool-memory", default: ByteCount.mebibytes(32),
    "Memory for large transactions that still run, all together.")
  static let relayConnector = Setting(
    "relay.connector", default: "",
    "Properties file of a Debezium PostgreSQL connector: its tables are relayed as it says, not Annals' outbox.")
  static let relayDestination = Setting(
    "relay.destination", default: RelayOptions.Destination.kafka,
    "Where messages go: kafka; print (a line of JSON each, to look at them); nothing.")
  static let relayPort = Setting(
    "relay.port", default: 28_081, "Port of the relay's /metrics and /healthz when it runs alone.", accepts: ports,
    remedy: aPort)

  static let projectionGroup = Setting("projection.group", default: "annals", "Prefix of the consumer groups' names.")
  static let projectionInstance = Setting(
    "projection.instance", default: "",
    "Name of this process in the consumer groups, kept across restarts (group.instance.id): it is taken back at once. Each process has its own; empty: none."
  )
  static let projectionPort = Setting(
    "projection.port", default: 28_082, "Port of the projections' /metrics and /healthz when they run alone.",
    accepts: ports, remedy: aPort)

  static let logLevel = Setting("log.level", default: LogLevel.info, "What is logged at least.")
  static let logForm = Setting(
    "log.form", default: LogForm.auto, "How: text, json, or auto (text on a terminal, json elsewhere).")

  static let all: [SettingDescription] = [
    postgresURL.description, postgresPool.description, statementTimeout.description, preparedStatements.description,
    redisURL.description, kafkaBrokers.description, kafkaSettings.description, elasticsearchURL.description,
    elasticsearchAlias.description, s3Endpoint.description, s3Bucket.description, s3AccessKey.description,
    s3SecretKey.description, s3Region.description, httpAddress.description, httpPort.description,
    reactors.description, maximumContent.description, relaySlot.description, relayPublication.description,
    relayTopic.description, relayName.description, relayPartitions.description, relayCompression.description,
    relayMaximumInFlight.description, relaySource.description, relayShard.description, relayDelivery.description,
    relayCatchUp.description, relayOrigins.description, relaySpoolDirectory.description, relaySpoolMemory.description,
    relayConnector.description, relayDestination.description, relayPort.description,
    projectionGroup.description,
    projectionInstance.description,
    projectionPort.description, logLevel.description, logForm.description,
  ]
}

enum Compression: String, CaseIterable, ArgumentValue { case none, lz4, zstd, gzip, snappy }
enum LogForm: String, CaseIterable, ArgumentValue { case auto, text, json }
enum Origins: String, CaseIterable, ArgumentValue { case any, local }
enum Source: String, CaseIterable, ArgumentValue { case wal, table }
extension LogLevel: ArgumentValue {}
extension RelayOptions.Delivery: ArgumentValue {}
extension RelayOptions.Destination: ArgumentValue {}

/// `name=value,name=value`.
struct KafkaSettings {
  let values: [String: String]

  init?(_ text: String) {
    var values: [String: String] = [:]
    for pair in text.split(separator: ",") {
      let parts = pair.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { return nil }
      values[String(parts[0])] = String(parts[1])
    }
    self.values = values
  }
}

/// `part/parts`.
struct Shard {
  let part: Int
  let parts: Int

  init?(_ text: String) {
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let part = numbers[0], let parts = numbers[1], (1...1_000).contains(parts),
      (0..<parts).contains(part)
    else { return nil }
    (self.part, self.parts) = (part, parts)
  }
}
