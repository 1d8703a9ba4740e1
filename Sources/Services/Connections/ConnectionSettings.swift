public import CommandLine
public import Configuration
import Kafka
import Postgres
import Projections
import S3

/// The servers that every process talks to.
public enum ConnectionSettings {
  public static let postgresURL = Setting(
    "postgres.url", default: "postgresql://annals@127.0.0.1:25432/annals", isSecret: true,
    "Connection string of libpq. The relay's role needs the replication right, the role of `annals migrate` the right to create."
  )
  static let poolerURL = Setting(
    "postgres.pooler-url", default: "", isSecret: true,
    "Connection string of a pooler in transaction mode (PgBouncer) before that database, for all statements that need no session; empty: none. LISTEN, locks and replication go to postgres.url."
  )
  public static let postgresPool = Setting(
    "postgres.pool-size", default: 4, "Connections of each reactor.", accepts: { (1...256).contains($0) },
    remedy: "a number from 1 to 256")
  static let statementTimeout = Setting(
    "postgres.statement-timeout", default: Duration.seconds(30), "The server ends a statement that runs longer.")
  static let preparedStatements = Setting(
    "postgres.prepared-statements", default: true,
    "Prepare statements. Turn it off for a PgBouncer older than 1.24, unless its max_prepared_statements is set.")
  static let setsSession = Setting(
    "postgres.set-session", default: true,
    "Set the statement time-out for each session by the start-up parameter “options”. Turn it off for PgBouncer, which refuses it, and set statement_timeout for the role."
  )

  static let redisURL = Setting(
    "redis.url", default: "redis://127.0.0.1:26379", isSecret: true,
    "Address of Redis: redis://[[user]:password@]host[:port][/database], percent-encoded.")

  static let redisPrefix = Setting(
    "redis.prefix", default: "annals:",
    "Prefix of the views' own keys in Redis. Installations that share a Redis need one each.")

  static let kafkaBrokers = Setting(
    "kafka.brokers", default: "127.0.0.1:29092", "Bootstrap servers of Kafka, separated by commas.")
  static let kafkaSettings = Setting(
    "kafka.settings", default: "", isSecret: true,
    "More settings of librdkafka, as name=value separated by commas: security.protocol=sasl_ssl,…",
    accepts: { KafkaSettings($0) != nil }, remedy: "name=value pairs separated by commas")

  static let elasticsearchURL = Setting(
    "elasticsearch.url", default: "http://127.0.0.1:29200", isSecret: true,
    "Address of Elasticsearch: http://[user:password@]host:port.")

  static let elasticsearchTimeout = Setting(
    "elasticsearch.timeout", default: Duration.seconds(3),
    "How long a request waits for a search at most. Views that are written wait longer.",
    accepts: { $0 >= .milliseconds(100) && $0 <= .seconds(60) }, remedy: "a time from 100ms to 60s")

  static let shards = Setting(
    "elasticsearch.shards", default: 1, "Shards of a new index.", accepts: { (1...1_024).contains($0) },
    remedy: "a number from 1 to 1024")
  static let replicas = Setting(
    "elasticsearch.replicas", default: -1, "Replicas of a new index; -1: one where there is a second node.",
    accepts: { (-1...10).contains($0) }, remedy: "a number from -1 to 10")
  static let refresh = Setting(
    "elasticsearch.refresh-interval", default: Duration.milliseconds(500),
    "How long it may take until a change of a document is searchable. Signatures and activity: a second at most, or this if it is longer."
  )

  static let s3Endpoint = Setting("s3.endpoint", default: "http://127.0.0.1:29000", "Address of the object store.")
  public static let s3Bucket = Setting("s3.bucket", default: "annals", "The bucket for the content of documents.")
  static let s3AccessKey = Setting(
    "s3.access-key", default: "annals", isSecret: true, "Access key of the object store.")
  static let s3SecretKey = Setting(
    "s3.secret-key", default: "annals-secret", isSecret: true, "Secret key of the object store.")
  static let s3Region = Setting("s3.region", default: "us-east-1", "Region in the signatures for the object store.")

  static let authorities = Setting(
    "tls.ca-file", default: "",
    "File of authorities (PEM) that are trusted beside the system's, for all https requests but those to webhooks. Read at each connection."
  )

  public static let all: [SettingDescription] = [
    postgresURL.description, poolerURL.description, postgresPool.description, statementTimeout.description,
    preparedStatements.description,
    setsSession.description,
    redisURL.description, redisPrefix.description, kafkaBrokers.description, kafkaSettings.description,
    elasticsearchURL.description, elasticsearchTimeout.description,
    shards.description, replicas.description, refresh.description,
    s3Endpoint.description, s3Bucket.description, s3AccessKey.description, s3SecretKey.description,
    s3Region.description, authorities.description,
  ]
}

extension IndexOptions {
  init(_ settings: Configuration) {
    let replicas = settings[ConnectionSettings.replicas]
    self.init(
      shards: settings[ConnectionSettings.shards], replicas: replicas < 0 ? nil : replicas,
      refresh: settings[ConnectionSettings.refresh])
  }
}

extension PostgresOptions {
  /// Of sessions: they end where the database is.
  init(_ settings: Configuration) {
    self.init(
      url: "", statementTimeout: settings[ConnectionSettings.statementTimeout],
      preparesStatements: settings[ConnectionSettings.preparedStatements],
      setsSession: settings[ConnectionSettings.setsSession])
    source = { settings[ConnectionSettings.postgresURL] }
  }

  /// Of the pool, whose statements need no session.
  init(pooled settings: Configuration) {
    self.init(settings)
    guard !settings[ConnectionSettings.poolerURL].isEmpty else { return }
    setsSession = false
    source = { settings[ConnectionSettings.poolerURL] }
  }
}

extension KafkaOptions {
  init(_ settings: Configuration) {
    self.init(
      brokers: settings[ConnectionSettings.kafkaBrokers],
      settings: KafkaSettings(settings[ConnectionSettings.kafkaSettings])?.values ?? [:])
  }
}

extension S3Options {
  init(_ settings: Configuration) {
    self.init(
      endpoint: settings[ConnectionSettings.s3Endpoint], bucket: settings[ConnectionSettings.s3Bucket],
      accessKey: "", secretKey: "", region: settings[ConnectionSettings.s3Region])
    keys = { (settings[ConnectionSettings.s3AccessKey], settings[ConnectionSettings.s3SecretKey]) }
  }
}

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
