public import EventStore
public import Events
public import Kafka
public import Logging
public import Metrics
public import Postgres
public import Reactor
public import Tracing

/// What the projections of a process share.
public struct ViewWorld: Sendable {
  public let store: EventStore
  public let pool: PostgresPool
  /// For sessions of its own, to the server itself.
  public let postgres: PostgresOptions
  public let source: ViewSource
  public let aggregates: [any Aggregate.Type]
  public let reactor: Reactor
  public let logger: Logger
  public let metrics: MetricsRegistry
  /// Takes the spans of changes; nil: none are recorded.
  public let tracer: Tracer?

  public init(
    store: EventStore, pool: PostgresPool, postgres: PostgresOptions, source: ViewSource,
    aggregates: [any Aggregate.Type], on reactor: Reactor, logger: Logger, metrics: MetricsRegistry,
    tracer: Tracer? = nil
  ) {
    (self.store, self.pool, self.postgres, self.source, self.aggregates) = (store, pool, postgres, source, aggregates)
    (self.reactor, self.logger, self.metrics) = (reactor, logger.labelled("project"), metrics)
    self.tracer = tracer
  }

  public var registry: ViewRegistry { ViewRegistry(pool) }

  /// How far a generation of a view is behind its topics.
  public func lag(of view: any View, _ generation: Generation) async throws -> ViewLag {
    try await ViewLag.measure(
      group: source.group(of: view, generation.number), topics: source.categories(of: view).keys.sorted(),
      source.kafka, on: reactor)
  }

  func history() -> History { History(store, postgres, aggregates: aggregates, on: reactor, logger: logger) }
}

/// Where views' changes come from.
public struct ViewSource: Sendable {
  public let kafka: KafkaOptions
  /// Prefix of the consumer groups' names.
  public let group: String
  /// This process's member name in the groups (group.instance.id), kept across restarts; nil: none.
  public let instance: String?
  private let topic: @Sendable (_ category: String) -> String

  /// - Parameter topic: The topic of a category's changes.
  public init(
    kafka: KafkaOptions, group: String, instance: String? = nil,
    topic: @escaping @Sendable (_ category: String) -> String
  ) {
    (self.kafka, self.group, self.instance, self.topic) = (kafka, group, instance, topic)
  }

  /// Each generation has a group of its own.
  func group(of view: any View, _ generation: Int) -> String { "\(group)-\(view.name)-\(generation)" }

  func categories(of view: any View) -> [String: String] {
    Dictionary(view.categories.map { (topic($0), $0) }) { $1 }
  }
}
