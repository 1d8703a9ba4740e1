import CommandLine
public import Configuration
public import Elasticsearch
public import EventStore
public import HTTPClient
public import Kafka
public import Logging
public import Metrics
public import Postgres
public import Projections
public import Reactor
public import Redis
import Resilience
public import S3
import Tracing

/// The possessions of one reactor: connections, stores, logger, metrics, settings. Features make their parts from it.
public struct Context: Sendable {
  public let settings: Configuration
  public let reactor: Reactor
  public let logger: Logger
  public let metrics: MetricsRegistry
  /// All features of the program, whether this process runs them or not.
  public let features: [any Feature]
  /// The program's version.
  public let version: String

  public let pool: PostgresPool
  public let store: EventStore
  public let redis: RedisClient
  /// What is read most, in front of Redis.
  let hot: HotDocuments
  public let http: HTTPClient
  public let elasticsearch: ElasticsearchClient
  public let content: S3Client
  private let contentHTTP: HTTPClient
  /// For URLs that strangers name.
  let strangers: HTTPClient
  private let shared: Shared
  /// The process's keys for tokens.
  public var keys: TrustedKeys { shared.keys }
  /// Of what clients carry and may neither read nor make.
  var sealKey: SealKey { shared.sealKey }
  /// The servers of all reactors, as their calls have found them.
  var dependencies: Dependencies { shared.dependencies }
  /// Takes the process's spans.
  var tracer: Tracer { shared.tracer }
  /// Where the process's readers of new events wait.
  public var hub: EventHub { shared.hub }

  /// What all reactors of a process have together.
  public struct Shared: Sendable {
    public let keys: TrustedKeys
    let hub = EventHub()
    let sealKey = SealKey()
    /// Of all reactors.
    let dependencies = Dependencies()

    let tracer: Tracer

    public init(_ settings: Configuration, metrics: MetricsRegistry) {
      keys = TrustedKeys(settings)
      tracer = Tracer(
        ratio: settings[TracingSettings.sample].value, isOn: TraceExport.isOn(settings), metrics: metrics)
    }
  }

  public init(
    settings: Configuration, features: [any Feature], version: String, shared: Shared, on reactor: Reactor,
    logger: Logger, metrics: MetricsRegistry
  ) throws {
    self.shared = shared
    (self.settings, self.reactor, self.logger, self.metrics) = (settings, reactor, logger, metrics)
    (self.features, self.version) = (features, version)
    pool = PostgresPool(.init(pooled: settings), on: reactor, logger: logger, metrics: metrics)
    store = EventStore(pool, tracer: shared.tracer)
    redis = RedisClient(
      try RedisOptions(url: settings[ConnectionSettings.redisURL]),
      current: { try? RedisOptions(url: settings[ConnectionSettings.redisURL]) }, on: reactor, logger: logger,
      metrics: metrics)
    hot = HotDocuments(hub: shared.hub, limit: settings[HotDocuments.memory].bytes, on: reactor)
    let authorities = settings[ConnectionSettings.authorities].isEmpty ? nil : settings[ConnectionSettings.authorities]
    http = HTTPClient(on: reactor, trusting: authorities, metrics: metrics)
    elasticsearch = ElasticsearchClient(
      url: { settings[ConnectionSettings.elasticsearchURL] }, over: http,
      watched: Dependency(
        "Elasticsearch",
        ResiliencePolicy(
          timeout: settings[ConnectionSettings.elasticsearchTimeout], tries: 2, maximumCalls: 512,
          longestRest: .seconds(10)),
        reactor: reactor.name, logger: logger, metrics: metrics))
    // Contents have connections of their own, as many as there are clients: each is as slow as its client, and must keep
    // nothing else waiting.
    contentHTTP = HTTPClient(
      on: reactor, trusting: authorities, maximumConnections: settings[HTTPSettings.maximumConnections],
      metrics: metrics)
    strangers = HTTPClient(
      on: reactor, to: .strangers(publicOnly: !settings[WebhookSettings.allowsPrivate]), connectTimeout: .seconds(5),
      metrics: metrics)
    let contentOptions = S3Options(settings)
    content = S3Client(
      contentOptions, over: contentHTTP,
      watched: Dependency(
        "the object store",
        // Each transfer is as slow as its client: they are bounded by the connections of clients.
        ResiliencePolicy(
          timeout: contentOptions.timeout, tries: 4, maximumCalls: settings[HTTPSettings.maximumConnections],
          longestRest: .seconds(10)),
        reactor: reactor.name, logger: logger, metrics: metrics))
    shared.dependencies.add([pool.dependency, redis.dependency, elasticsearch.dependency, content.dependency])
  }

  /// Of sessions, which go past a pooler.
  public var postgres: PostgresOptions { PostgresOptions(settings) }
  public var kafka: KafkaOptions { KafkaOptions(settings) }

  /// Connects. A server that does not answer is logged; its connection is made when it comes back.
  ///
  /// - Parameter poolSize: Connections of the Postgres pool.
  public func start(_ connections: Connections = .all, poolSize: Int) async {
    if connections.contains(.postgres) {
      do { try await pool.start(connections: poolSize) } catch {
        logger.warning("Postgres is not available yet", metadata: [.error: "\(error)"])
      }
    }
    if connections.contains(.redis) {
      do { try await redis.start() } catch {
        logger.warning("Redis is not available yet", metadata: [.error: "\(error)"])
      }
    }
  }

  /// The views of all features.
  public var views: [any View] {
    get throws { try features.flatMap { try $0.views(self) } }
  }

  public func close() async {
    await redis.close()
    await pool.close()
    await http.close()
    await contentHTTP.close()
    await strangers.close()
  }
}
