import Domain
public import Events

/// Links that show one version of a document to whoever has them.
public struct Links: Feature {
  public let name = "links"

  public init() {}

  public var aggregates: [any Aggregate.Type] { [ShareLink.self] }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    [LinkRoutes(try DocumentService(context), logger: context.logger).group]
  }
}
