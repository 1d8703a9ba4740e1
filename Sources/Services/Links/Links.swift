import Configuration
public import Domain
public import EventStore
public import JSON
public import Events

/// Links that show one version of a document to whoever has them.
public struct Links: Feature {
  public let name = "links"

  public init() {}

  public var aggregates: [any Aggregate.Type] { [ShareLink.self] }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    [
      LinkRoutes(
        try DocumentService(context), prefix: context.settings[ConnectionSettings.redisPrefix],
        on: context.reactor, logger: context.logger
      ).group
    ]
  }
}

/// A link that was used often is not folded from its beginning each time.
extension ShareLink: SnapshottingAggregate {
  public static var foldedBy: Int32 { 1 }
  public var snapshot: [UInt8] { kept }
  public init(snapshot: JSONValue) throws(JSONError) { try self.init(json: snapshot) }
}
