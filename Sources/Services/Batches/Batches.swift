import Domain
public import Events

/// Changes of many documents at once.
public struct Batches: Feature {
  public let name = "batches"

  public init() {}

  public var aggregates: [any Aggregate.Type] { [Batch.self] }

  public var connections: Connections { .postgres }

  public func routes(_ context: Context) throws -> [RouteGroup] { [BatchRoutes(context.store).group] }

  public func workers(_ context: Context) throws -> [any Worker] {
    [
      DueWorker(
        "batches", context, standstill: "batches stand still: Postgres does not answer", BatchSteps(context.store).look)
    ]
  }
}
