import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Time

/// `/admin/webhooks`: everybody's webhooks. For operators, on a port of their own.
struct AllWebhookRoutes: Sendable {
  private let context: Context
  private let known: KnownWebhooks

  init(_ context: Context) {
    (self.context, known) = (context, KnownWebhooks(context.store))
  }

  var group: RouteGroup {
    RouteGroup(
      "All webhooks", prefixes: [""], middleware: [ErrorResponses(logger: context.logger)],
      routes: [
        Route(
          .get, "/admin/webhooks", "Everybody's webhooks, the oldest first. Of their URLs only the hosts.",
          right: .operate, answers: [Answer(200, "The webhooks.", schema: .raw(["type": "object"]))], handler: list),
        Route(
          .post, "/admin/webhooks/{webhook}/disable",
          "Disable a webhook, whoever's it is: it goes by the rights that its owner had when he registered or changed one last.",
          right: .operate, answers: [Answer(204, "It is told of nothing more.")],
          Input<UUID>(path: "webhook", "The webhook's id."), handler: disable),
      ])
  }

  @Sendable
  private func list(_ request: Request) async throws -> Response {
    let entries = try await known.webhooks().values.sorted { $0.begun < $1.begun }
    var writer = JSONWriter(reserving: 4_096)
    writer.object { writer in
      writer.objects("webhooks", of: entries) { writer, entry in
        writer.member("id", entry.webhook.id.description)
        writer.member("owner", entry.owner)
        writer.member("host", entry.webhook.host)
        writer.member("sees_all", entry.reader.seesAll)
        writer.member("disabled", orNull: entry.webhook.disabled)
        writer.member("created_at", entry.webhook.createdAt.description)
      }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func disable(_ request: Request, _ id: UUID) async throws -> Response {
    guard let entry = try await known.webhooks()[id] else { throw WebhookRefusal.notFound }
    _ = try await AggregateStore<WebhookList>(context.store).execute(
      .disable(id: id, reason: "an operator has disabled it", at: .now()), on: entry.list, metadata: request.metadata())
    return Response(204)
  }
}
