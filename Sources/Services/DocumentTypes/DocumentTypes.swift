import Domain
public import Events
import EventStore

/// Types of documents: which fields of their own documents may have.
public struct DocumentTypes: Feature {
  public let name = "types"

  public init() {}

  public var aggregates: [any Aggregate.Type] { [DocumentType.self] }

  public func routes(_ context: Context) throws -> [RouteGroup] { [TypeRoutes(context.store).group] }
}
