public import Configuration
import Domain
public import Events
import Postgres

/// URLs that are told of what happens to documents, by Standard Webhooks 1.0.
public struct Webhooks: Feature {
  public let name = "webhooks"

  public init() {}

  public var settings: [SettingDescription] { WebhookSettings.all }

  public var aggregates: [any Aggregate.Type] { [WebhookList.self] }

  public func routes(_ context: Context) throws -> [RouteGroup] { [WebhookRoutes(context).group] }

  public func operatorRoutes(_ context: Context) throws -> [RouteGroup] { [AllWebhookRoutes(context).group] }

  public func workers(_ context: Context) throws -> [any Worker] {
    [
      WebhookSender(context),
      DueWorker(
        "webhook replays", context, standstill: "nothing is replayed to webhooks: Postgres does not answer",
        WebhookReplays(context.store, context.pool).look),
    ]
  }
}
