import Configuration

/// Events as they come: server-sent events and sockets.
public struct Streams: Feature {
  public let name = "streams"

  public init() {}

  public func routes(_ context: Context) throws -> [RouteGroup] {
    let cache = MessageCache()
    return [
      EventStreams(
        context.store, hub: context.hub, cache: cache, aggregates: context.features.flatMap(\.aggregates),
        tracer: context.tracer, on: context.reactor
      ).group,
      Sockets(
        context.store, hub: context.hub, cache: cache, on: context.reactor, logger: context.logger,
        metrics: context.metrics, tracer: context.tracer
      )
      .group,
    ]
  }

  public func workers(_ context: Context) throws -> [any Worker] { [LogTail(context)] }
}
