import CommandLine
import Configuration
import Elasticsearch
import EventStore
import HTTPClient
import HTTPServer
import Kafka
import Logging
import MediaType
import Metrics
import Postgres
import Projections
import Reactor
import Redis
import Relay
import S3
import Services

/// The REST API on its reactors: each has a server and connections of its own.
struct ServeService: Service {
  let runtime: Runtime
  let reactors: [Reactor]

  func run() async throws {
    let detector = try MediaTypeDetector()
    var shards: [ServingShard] = []
    for reactor in reactors {
      let shard = try await ServingShard(runtime, detector: detector, on: reactor)
      try await shard.start(isFirst: shards.isEmpty)
      shards.append(shard)
    }
    runtime.logger.notice(
      "Serving",
      metadata: [
        "url": "http://\(runtime.configuration[Settings.httpAddress]):\(runtime.configuration[Settings.httpPort])",
        "reactors": "\(reactors.count)",
      ])
    let maintenance = OutboxMaintenance(
      shards[0].pool, slot: runtime.configuration[Settings.relaySlot], on: reactors[0], logger: runtime.logger,
      metrics: runtime.metrics)
    await maintenance.run()
    for shard in shards { await shard.shutdown() }
  }
}

/// One reactor's part of the REST API.
struct ServingShard {
  let pool: PostgresPool
  private let redis: RedisClient
  private let server: HTTPServer
  private let runtime: Runtime
  private let content: S3Client

  init(_ runtime: Runtime, detector: MediaTypeDetector, on reactor: Reactor) async throws {
    self.runtime = runtime
    let configuration = runtime.configuration
    let client = runtime.http(on: reactor)
    pool = runtime.pool(on: reactor)
    redis = try runtime.redis(on: reactor)
    content = runtime.s3(over: client)
    let elasticsearch = runtime.elasticsearch(over: client)
    let documents = DocumentService(store: EventStore(pool), redis: redis, content: content)
    let search = SearchService(elasticsearch, alias: configuration[Settings.elasticsearchAlias])
    var router = Router()
    for prefix in ["/v1", ""] {
      DocumentRoutes(documents, detector: detector, maximumContent: configuration[Settings.maximumContent].bytes)
        .add(to: &router, prefix: prefix)
      AuditRoutes(documents).add(to: &router, prefix: prefix)
      SearchRoutes(search).add(to: &router, prefix: prefix)
    }
    OperationsRoutes(metrics: runtime.metrics, checks: [.postgres(pool)]).add(to: &router)
    let errors = ErrorResponses(logger: runtime.logger)
    server = HTTPServer(
      HTTPServerOptions(
        address: configuration[Settings.httpAddress], port: UInt16(configuration[Settings.httpPort])),
      router: router, on: reactor, logger: runtime.logger, metrics: runtime.metrics,
      errorResponse: { errors.response(to: $0, $1) })
  }

  /// Starts to serve whatever is there already: what is missing is said by the requests that need it.
  func start(isFirst: Bool) async throws {
    do { try await pool.start(connections: runtime.configuration[Settings.postgresPool]) } catch {
      runtime.logger.warning("Postgres is not there yet", metadata: [.error: "\(error)"])
    }
    do { try await redis.start() } catch {
      runtime.logger.warning("Redis is not there yet", metadata: [.error: "\(error)"])
    }
    if isFirst {
      do { try await content.createBucket() } catch {
        runtime.logger.warning("The object store is not there yet", metadata: [.error: "\(error)"])
      }
    }
    try await server.start(isFirst: isFirst)
  }

  func shutdown() async {
    await server.shutdown()
    await redis.close()
    await pool.close()
  }
}

struct RelayService: Service {
  let relay: Relay
  func run() async throws { await relay.run() }
}

struct ProjectionService: Service {
  let runtime: Runtime
  let reactor: Reactor

  func run() async throws {
    let client = runtime.http(on: reactor)
    let redis = try runtime.redis(on: reactor)
    do { try await redis.start() } catch {
      runtime.logger.warning("Redis is not there yet", metadata: [.error: "\(error)"])
    }
    let topic = try runtime.topicTemplate.topic(for: "document")
    let views = runtime.views(redis: redis, client: client)
    let instance = runtime.configuration[Settings.projectionInstance]
    await withTaskGroup { group in
      for view in views {
        let runner = ProjectionRunner(
          view, topics: [topic], kafka: runtime.kafka, group: runtime.configuration[Settings.projectionGroup],
          instance: instance.isEmpty ? nil : instance, on: reactor, logger: runtime.logger, metrics: runtime.metrics)
        group.addTask { await runner.run() }
      }
    }
    await redis.close()
  }
}

extension Runtime {
  /// Every view there is. A new projection is added here.
  func views(redis: RedisClient, client: HTTPClient) -> [any View] {
    [
      DocumentCache(redis),
      DocumentSearch(
        elasticsearch(over: client), content: s3(over: client), alias: configuration[Settings.elasticsearchAlias]),
    ]
  }
}

/// `/metrics` and `/healthz` of a process that serves nothing else.
struct OperationsService: Service {
  let runtime: Runtime
  let reactor: Reactor
  let port: Int
  let checks: [OperationsRoutes.Check]

  func run() async throws {
    var router = Router()
    OperationsRoutes(metrics: runtime.metrics, checks: checks).add(to: &router)
    let errors = ErrorResponses(logger: runtime.logger)
    let server = HTTPServer(
      HTTPServerOptions(address: runtime.configuration[Settings.httpAddress], port: UInt16(port)), router: router,
      on: reactor, logger: runtime.logger, metrics: runtime.metrics, errorResponse: { errors.response(to: $0, $1) })
    try await server.start()
    do { try await reactor.sleep(for: .seconds(1 << 30)) } catch { await server.shutdown() }
  }
}

extension OperationsRoutes.Check {
  static func postgres(_ pool: PostgresPool) -> Self {
    Self("postgres") {
      do throws(PostgresError) {
        try await pool.query(Query("", "select 1"))
        return nil
      } catch { return error.isRetriable ? "does not answer" : "refuses" }
    }
  }

  static func relay(_ relay: Relay) -> Self { Self("relay") { await relay.problem } }
}
