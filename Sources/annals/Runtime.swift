import CommandLine
import Configuration
import Elasticsearch
import EventStore
import Glibc
import HTTPClient
import Kafka
import Logging
import Metrics
import Postgres
import Projections
import Reactor
import Redis
import Relay
import S3

/// What every command starts from: settings, log, metrics, and how components are made of them.
struct Runtime: Sendable {
  static let version = "0.1.0"

  let configuration: Configuration
  let logger: Logger
  let metrics = MetricsRegistry()

  init(_ arguments: Arguments) throws {
    var flags = arguments.shared
    var environment = processEnvironment()
    let path = flags.removeValue(forKey: "config") ?? environment.removeValue(forKey: "ANNALS_CONFIG")
    configuration = try Configuration(
      Settings.all, file: try path.map { try SettingsFile(path: $0) }, environment: environment,
      ignoring: ["ANNALS_ENGINES"], flags: flags)
    let form: StandardErrorLog.Form? =
      switch configuration[Settings.logForm] {
      case .auto: nil
      case .text: .text
      case .json: .json
      }
    logger = Logger(
      label: "annals", level: configuration[Settings.logLevel], handler: StandardErrorLog(form: form))
  }

  func reactor(_ name: String) -> Reactor { Reactor(name: name, logger: logger, metrics: metrics) }

  /// One reactor for each core, or as many as the settings say.
  func servingReactors() -> [Reactor] {
    let wanted = configuration[Settings.reactors]
    let count = wanted == 0 ? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) : wanted
    return (0..<count).map { reactor("serve-\($0)") }
  }

  // MARK: Options

  var postgres: PostgresOptions {
    PostgresOptions(
      url: configuration[Settings.postgresURL], statementTimeout: configuration[Settings.statementTimeout],
      preparesStatements: configuration[Settings.preparedStatements])
  }

  var kafka: KafkaOptions {
    KafkaOptions(
      brokers: configuration[Settings.kafkaBrokers],
      settings: KafkaSettings(configuration[Settings.kafkaSettings])?.values ?? [:])
  }

  var topicTemplate: TopicTemplate {
    get throws {
      guard let template = TopicTemplate(configuration[Settings.relayTopic]) else {
        throw UsageError("relay.topic: a topic's name with {aggregate} in it is expected")
      }
      return template
    }
  }

  var relay: RelayOptions {
    get throws {
      let connector = try connector
      var options = RelayOptions(
        postgres: postgres, kafka: kafka,
        feed: try connector.map { .connector($0) }
          ?? .outbox(topic: topicTemplate, name: configuration[Settings.relayName]),
        slot: connector?.slot ?? configuration[Settings.relaySlot],
        publication: connector?.publication ?? configuration[Settings.relayPublication],
        partitions: configuration[Settings.relayPartitions],
        compression: configuration[Settings.relayCompression].rawValue,
        maximumInFlight: configuration[Settings.relayMaximumInFlight].bytes, version: Self.version)
      if let connection = connector?.connection { options.postgres.url = connection }
      if configuration[Settings.relaySource] == .table, let shard = Shard(configuration[Settings.relayShard]) {
        guard connector == nil else {
          throw UsageError("relay.source: tables of others (relay.connector) are read from the WAL alone")
        }
        options.source = .table(shard: shard.part, of: shard.parts)
      }
      options.delivery = configuration[Settings.relayDelivery]
      options.destination = configuration[Settings.relayDestination]
      options.catchUp = configuration[Settings.relayCatchUp].bytes
      options.skipsForeignOrigins = configuration[Settings.relayOrigins] == .local
      options.spoolMemory = configuration[Settings.relaySpoolMemory].bytes
      let directory = configuration[Settings.relaySpoolDirectory]
      options.spoolDirectory = directory.isEmpty ? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" : directory
      return options
    }
  }

  /// The connector's options where `relay.connector` names a file.
  private var connector: ConnectorOptions? {
    get throws {
      let path = configuration[Settings.relayConnector]
      guard !path.isEmpty else { return nil }
      guard let text = readFile(path) else {
        throw UsageError("relay.connector: \(path) cannot be read: \(String(cString: strerror(errno)))")
      }
      do {
        let options = try ConnectorOptions(parsing: text)
        if !options.ignored.isEmpty {
          logger.info("Options without meaning here", metadata: ["options": options.ignored.joined(separator: ", ")])
        }
        return options
      } catch { throw UsageError("\(path): \(error)") }
    }
  }

  // MARK: Clients

  func redis(on reactor: Reactor) throws -> RedisClient {
    RedisClient(
      try RedisOptions(url: configuration[Settings.redisURL]), on: reactor, logger: logger, metrics: metrics)
  }

  func http(on reactor: Reactor) -> HTTPClient { HTTPClient(on: reactor, metrics: metrics) }

  func elasticsearch(over client: HTTPClient) -> ElasticsearchClient {
    ElasticsearchClient(url: configuration[Settings.elasticsearchURL], over: client)
  }

  func s3(over client: HTTPClient) -> S3Client {
    S3Client(
      S3Options(
        endpoint: configuration[Settings.s3Endpoint], bucket: configuration[Settings.s3Bucket],
        accessKey: configuration[Settings.s3AccessKey], secretKey: configuration[Settings.s3SecretKey],
        region: configuration[Settings.s3Region]), over: client)
  }

  func pool(on reactor: Reactor) -> PostgresPool {
    PostgresPool(postgres, on: reactor, logger: logger, metrics: metrics)
  }
}

func processEnvironment() -> [String: String] {
  var variables: [String: String] = [:]
  var next = environ
  while let entry = next.pointee {
    let text = String(cString: entry)
    if let equals = text.firstIndex(of: "=") {
      variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
    next += 1
  }
  return variables
}

/// The text of a file; nil, with errno set, where it cannot be read.
func readFile(_ path: String) -> String? {
  guard let file = fopen(path, "rb") else { return nil }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
  return String(decoding: bytes, as: UTF8.self)
}
