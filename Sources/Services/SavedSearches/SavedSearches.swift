public import Events
import Domain
import Projections

/// Searches that are saved, and run again on every document that changes.
public struct SavedSearches: Feature {
  public let name = "searches"

  public init() {}

  public var aggregates: [any Aggregate.Type] { [SearchList.self, SearchHit.self] }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    [SavedSearchRoutes(context.store, SearchService(context)).group]
  }

  public func workers(_ context: Context) throws -> [any Worker] { [SearchWatcher(context)] }
}
