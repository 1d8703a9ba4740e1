public import Configuration
import Elasticsearch
import HTTPClient
import JSON
public import Projections

/// Search, counts and the list of documents, from Elasticsearch.
public struct Search: Feature {
  public let name = "search"

  public init() {}

  static let alias = Setting(
    "elasticsearch.alias", default: "documents", "The alias under which documents are searched.")

  public var settings: [SettingDescription] { [Self.alias.description] }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    let prefix = context.settings[ConnectionSettings.redisPrefix]
    return [
      SearchRoutes(
        SearchService(context),
        ViewReaders(view: view(context), reactor: context.reactor), context.store,
        walks: BegunWalks(context.redis, prefix: context.settings[ConnectionSettings.redisPrefix]),
        sealKey: { [key = context.sealKey, redis = context.redis] isFresh in
          try await key.key(redis, prefix: prefix, isFresh: isFresh)
        }
      ).group
    ]
  }

  public func views(_ context: Context) throws -> [any View] { [view(context)] }

  private func view(_ context: Context) -> DocumentSearch {
    DocumentSearch(
      context.elasticsearch, content: context.content, alias: context.settings[Self.alias],
      options: .init(context.settings), logger: context.logger, metrics: context.metrics)
  }

  public func checks(_ context: Context) throws -> [Check] {
    [
      Check("Elasticsearch") {
        let (_, health) = try await context.elasticsearch.forReaders.send(
          .get, "/_cluster/health", operation: "asking for its health")
        return "\(context.elasticsearch.endpoint): \(health["status"]?.string ?? "unknown")"
      }
    ]
  }
}

extension SearchService {
  /// For requests.
  init(_ context: Context) { self.init(context.elasticsearch.forReaders, alias: context.settings[Search.alias]) }

  /// For work that nobody waits for.
  init(patient context: Context) { self.init(context.elasticsearch, alias: context.settings[Search.alias]) }
}
