import Configuration
import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Synchronization
import Time

/// `/webhooks`: register URLs, see what they were sent, send it once more.
struct WebhookRoutes: Sendable {
  private let lists: AggregateStore<WebhookList>
  private let queues: WebhookQueues
  private let replays: WebhookReplays
  private let post: WebhookPost
  private let settings: Configuration

  private static let page = 100
  /// Webhooks that are tested at this moment, and how many are at most.
  private let testing: Testing
  private static let tests = 16

  init(_ context: Context) {
    (lists, queues) = (AggregateStore(context.store), WebhookQueues(context.pool))
    replays = WebhookReplays(context.store, context.pool)
    (post, settings, testing) = (WebhookPost(context), context.settings, Testing())
  }

  private static let webhook = Input<UUID>(path: "webhook", "The webhook's id.")
  private static let document = Input<UUID>(path: "document", "The document's id.")

  var group: RouteGroup {
    RouteGroup(
      "Webhooks",
      routes: [
        Route(
          .get, "/webhooks", "The caller's webhooks.", right: .identified,
          answers: [Answer(200, "The webhooks.", schema: .object([.init("webhooks", .array(WebhookAnswers.webhook))]))],
          handler: list),
        Route(
          .post, "/webhooks",
          "Register a URL. It is told of what happens from now on to documents that the caller may see, by Standard Webhooks 1.0.",
          right: .identified,
          body: .fields(
            limit: 16_384,
            example: #"{"url": "https://example.com/hook", "selection": {"events": ["document.signed"]}}"#),
          answers: [Answer(201, "The webhook.", schema: WebhookAnswers.webhook)],
          Input<WebhookURL>(field: "url", "Where messages are sent to."),
          Input<WebhookChoice?>(optional: "selection", "Of what it is told; nothing: of everything."),
          IdempotencyKey.input, handler: register),
        Route(
          .get, "/webhooks/{webhook}",
          "A webhook, and how many of its documents have a message that has failed, or are parked.",
          right: .identified, answers: [Answer(200, "The webhook.", schema: WebhookAnswers.detailed)], Self.webhook,
          handler: show),
        Route(
          .patch, "/webhooks/{webhook}",
          "Change a webhook. One that is disabled is told of nothing; what happens meanwhile can be replayed later.",
          right: .identified, body: .fields(limit: 16_384, example: #"{"enabled": true}"#),
          answers: [Answer(200, "The webhook.", schema: WebhookAnswers.webhook)],
          Self.webhook, Input<WebhookURL?>(optional: "url", "Where messages are sent to."),
          Input<WebhookChoice?>(optional: "selection", "Of what it is told, in place of what was said before."),
          Input<Bool?>(optional: "enabled", "Whether it is told of anything."), handler: change),
        Route(
          .delete, "/webhooks/{webhook}", "Delete a webhook. It is told of nothing more.", right: .identified,
          answers: [Answer(204, "Deleted.")], Self.webhook
        ) { request, id in
          _ = try await webhook(id, of: request.caller)
          try await replays.note(removed: id)
          _ = try await execute(.remove(id: id, at: .now()), request)
          return Response(204)
        },
        Route(
          .get, "/webhooks/{webhook}/keys", "The keys that sign: for its receiver, who checks with them.",
          right: .identified, answers: [Answer(200, "The keys, the newest first.", schema: WebhookAnswers.keys)],
          Self.webhook
        ) { request, id in
          try keys(of: try await webhook(id, of: request.caller))
        },
        Route(
          .post, "/webhooks/{webhook}/keys",
          "Make a new key. The one before it signs too for some hours, so that a receiver can change over.",
          right: .identified, body: .fields(limit: 1_024, example: #"{"old_key_hours": 48}"#),
          answers: [Answer(200, "The keys, the newest first.", schema: WebhookAnswers.keys)], Self.webhook,
          Input<Int64?>(
            optional: "old_key_hours", schema: .integer(in: 0...720),
            "How long the old key signs too; nothing: 24 hours."
          ), handler: rotate),
        Route(
          .post, "/webhooks/{webhook}/test", "Send a message of the type `webhook.test` now, once.",
          right: .identified, answers: [Answer(200, "What became of it.", schema: WebhookAnswers.test)], Self.webhook,
          handler: test),
        Route(
          .post, "/webhooks/{webhook}/replay",
          "Send what happened once more: events of a range of the log, by index or by time. Messages keep their ids.",
          right: .identified,
          body: .fields(limit: 1_024, example: #"{"from": "2026-11-27T08:00:00Z", "before": "2026-11-27T09:00:00Z"}"#),
          answers: [Answer(202, "It is accepted, and begins within a second.", schema: WebhookAnswers.replay)],
          Self.webhook,
          Input<Int64?>(optional: "from_index", "The first index."),
          Input<Int64?>(optional: "before_index", "The index at which it ends; nothing: the end of the log."),
          Input<Timestamp?>(optional: "from", "In place of the first index: about when it was recorded."),
          Input<Timestamp?>(optional: "before", "In place of the index at which it ends."), handler: replay),
        Route(
          .get, "/webhooks/{webhook}/attempts", "What a webhook was sent and what it said to it, the newest first.",
          right: .identified, answers: [Answer(200, "A page of attempts.", schema: WebhookAnswers.attempts)],
          Self.webhook,
          Input<UUID?>(query: "document_id", "Only of this document."),
          Input<Int64?>(query: "before", "Go on before this attempt: `next` of the page before."), handler: attempts),
        Route(
          .get, "/webhooks/{webhook}/parked",
          "Documents with a message that the webhook has not taken; what happened since waits behind it.",
          right: .identified, answers: [Answer(200, "A page of them.", schema: WebhookAnswers.parked)], Self.webhook,
          Input<UUID?>(query: "after", "Go on after this document: `next` of the page before."), handler: parked),
        Route(
          .post, "/webhooks/{webhook}/parked/{document}/{request}", "Decide about a parked document.",
          right: .identified, answers: [Answer(204, "It goes on.")], Self.webhook, Self.document,
          Input<String>(
            path: "request", oneOf: ["retry", "skip"],
            "retry: send the message again; skip: leave out the event that was not taken."), handler: resume),
      ])
  }

  // MARK: The list

  private func webhooks(of caller: Caller) async throws -> [Webhook] {
    try await lists.load(OwnersList.id(of: caller.owner)).state?.webhooks ?? []
  }

  private func webhook(_ id: UUID, of caller: Caller) async throws -> Webhook {
    guard let webhook = try await webhooks(of: caller).first(where: { $0.id == id }) else {
      throw WebhookRefusal.notFound
    }
    return webhook
  }

  private func requireKeys() throws(Problem) {
    guard post.keys.isEmpty else { return }
    throw Problem(
      409, "No webhooks", detail: "this installation has no webhooks: its operator sets webhooks.secret first")
  }

  private func execute(_ command: WebhookListCommand, _ request: Request) async throws -> WebhookList? {
    try await lists.execute(command, on: OwnersList.id(of: request.caller.owner), metadata: request.metadata())
  }

  @Sendable
  private func list(_ request: Request) async throws -> Response {
    let webhooks = try await webhooks(of: request.caller)
    var writer = JSONWriter(reserving: 2_048)
    writer.object { writer in
      writer.objects("webhooks", of: webhooks) { $1.write(&$0) }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func register(
    _ request: Request, _ url: WebhookURL, _ choice: WebhookChoice?, _ key: IdempotencyKey?
  ) async throws -> Response {
    try requireKeys()
    try url.check(allowsPrivate: settings[WebhookSettings.allowsPrivate])
    let (caller, metadata) = (request.caller, request.metadata())
    let selection = choice?.selection ?? WebhookSelection()
    var chosen = JSONWriter()
    selection.write(&chosen)
    let keyed = KeyedRequest(
      key, request, actor: metadata.actor, [url.text, String(decoding: chosen.bytes, as: UTF8.self)])
    return try await lists.store.once(keyed) {
      let id = UUID.version7()
      let once = keyed.map { keyed in
        Once<WebhookList>(keyed.key, request: keyed.request) { list in
          list?.webhook(id).map { Self.registered($0).bytes } ?? Array("null".utf8)
        }
      }
      let list = try await lists.execute(
        .register(
          id: id, url: url.text, selection: selection, owner: caller.owner,
          reader: caller.standingRights(forAll: caller.seesAll), at: .now()),
        on: OwnersList.id(of: caller.owner), metadata: metadata, once: once)
      guard let webhook = list?.webhook(id) else { throw WebhookRefusal.notFound }
      return Self.registered(webhook).response
    }
  }

  private static func registered(_ webhook: Webhook) -> KeptAnswer {
    var writer = JSONWriter()
    writer.object { webhook.write(&$0) }
    return KeptAnswer(201, headers: [("Location", "/v1/webhooks/\(webhook.id)")], body: writer.bytes)
  }

  @Sendable
  private func show(_ request: Request, _ id: UUID) async throws -> Response {
    let webhook = try await webhook(id, of: request.caller)
    let counts = try await queues.counts(of: [id])[id]
    var writer = JSONWriter()
    writer.object {
      webhook.write(&$0)
      $0.member("failing", counts?.failing ?? 0)
      $0.member("parked", counts?.parked ?? 0)
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func change(
    _ request: Request, _ id: UUID, _ url: WebhookURL?, _ choice: WebhookChoice?, _ isEnabled: Bool?
  ) async throws -> Response {
    try url?.check(allowsPrivate: settings[WebhookSettings.allowsPrivate])
    let caller = request.caller
    var webhook = try await webhook(id, of: caller)
    if url != nil || choice != nil {
      let reader = caller.standingRights(forAll: caller.seesAll)
      webhook =
        try await execute(
          .change(id: id, url: url?.text, selection: choice?.selection, reader: reader, at: .now()), request)?
        .webhook(id) ?? webhook
    }
    if let isEnabled {
      let command: WebhookListCommand =
        isEnabled ? .enable(id: id, at: .now()) : .disable(id: id, reason: "its owner has disabled it", at: .now())
      webhook = try await execute(command, request)?.webhook(id) ?? webhook
    }
    var writer = JSONWriter()
    writer.object { webhook.write(&$0) }
    return .json(writer.bytes)
  }

  // MARK: Keys

  private func keys(of webhook: Webhook) throws -> Response {
    try requireKeys()
    let shown = post.keys.shown(of: webhook, at: .now())
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      writer.objects("keys", of: shown) { writer, key in
        writer.member("number", key.number)
        writer.member("secret", key.secret)
        writer.member("public_key", key.publicKey)
        writer.member("until", orNull: key.until?.description)
      }
    }
    return .json(writer.bytes, headers: [("Cache-Control", "no-store")])
  }

  @Sendable
  private func rotate(_ request: Request, _ id: UUID, _ hours: Int64?) async throws -> Response {
    let hours = hours ?? 24
    guard (0...720).contains(hours) else {
      throw Problem(
        422, "Invalid value", detail: "\(hours) is not a whole number from 0 to 720", field: "/old_key_hours")
    }
    let now = Timestamp.now()
    let until = Timestamp(microseconds: now.microseconds + hours * 3_600_000_000)
    let list = try await execute(.rotate(id: id, oldKeyUntil: until, at: now), request)
    guard let webhook = list?.webhook(id) else { throw WebhookRefusal.notFound }
    return try keys(of: webhook)
  }

  // MARK: What is sent

  @Sendable
  private func test(_ request: Request, _ id: UUID) async throws -> Response {
    let webhook = try await webhook(id, of: request.caller)
    try requireKeys()
    // How long it takes is the receiver's to say: others do not wait for it, and it says nothing of this server.
    guard testing.webhooks.withLock({ $0.count < Self.tests && $0.insert(id).inserted }) else {
      throw Problem(
        429, "Too many requests", detail: "a test of this webhook is under way, or too many of others: try again",
        headers: [("Retry-After", "5")])
    }
    defer { testing.webhooks.withLock { _ = $0.remove(id) } }
    LoadShedding.slot?.leave()
    var message = JSONWriter()
    message.object { writer in
      writer.member("type", "webhook.test")
      writer.member("timestamp", Timestamp.now().description)
      writer.name("data")
      writer.object { $0.member("webhook_id", id.description) }
    }
    let answer = await post.send("msg_\(UUID.version7())", message.bytes, to: webhook)
    var writer = JSONWriter()
    writer.object {
      $0.member("delivered", answer.problem == nil)
      $0.member("status", answer.status.map { .integer(Int64($0)) } ?? JSONValue.null)
      $0.member("problem", orNull: answer.problem)
      $0.member("milliseconds", answer.milliseconds)
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func replay(
    _ request: Request, _ id: UUID, _ fromIndex: Int64?, _ beforeIndex: Int64?, _ from: Timestamp?, _ before: Timestamp?
  ) async throws -> Response {
    let store = lists.store
    guard (fromIndex == nil) != (from == nil) else {
      throw Problem(422, "Invalid body", detail: "send either from_index or from", field: "/from_index")
    }
    guard beforeIndex == nil || before == nil else {
      throw Problem(422, "Invalid body", detail: "send either before_index or before", field: "/before_index")
    }
    let end = try await store.end()
    var first = LogIndex(max(0, fromIndex ?? 0))
    // Rather some events too many: the log's order is that of commits.
    if let from { first = try await store.index(recordedAt: Timestamp(microseconds: from.microseconds - 60_000_000)) }
    var last = min(beforeIndex.map { LogIndex($0) } ?? end, end)
    if let before {
      last = try await store.index(recordedAt: Timestamp(microseconds: before.microseconds + 60_000_000))
    }
    guard first < last else { throw WebhookRefusal.rangeIsEmpty }
    guard try await webhook(id, of: request.caller).disabled == nil else { throw WebhookRefusal.isDisabled }
    guard try await replays.begin(id, from: first, before: last) else {
      throw Problem(409, "Conflict", detail: "the webhook has a replay that is not done: wait for it")
    }
    _ = try await execute(.replay(id: id, from: first.value, before: last.value, at: .now()), request)
    var writer = JSONWriter()
    writer.object {
      $0.member("from_index", first.value)
      $0.member("before_index", last.value)
    }
    return .json(writer.bytes, status: 202)
  }

  @Sendable
  private func attempts(
    _ request: Request, _ id: UUID, _ document: UUID?, _ before: Int64?
  ) async throws -> Response {
    _ = try await webhook(id, of: request.caller)
    let attempts = try await queues.attempts(of: id, before: before, document: document, limit: Self.page + 1)
    let shown = attempts.prefix(Self.page)
    var writer = JSONWriter(reserving: 16_384)
    writer.object { writer in
      writer.objects("attempts", of: shown) { $1.attempt.write(&$0) }
      let next = attempts.count > Self.page ? shown.last?.number : nil
      writer.member("next", next.map { .integer($0) } ?? JSONValue.null)
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func parked(_ request: Request, _ id: UUID, _ after: UUID?) async throws -> Response {
    _ = try await webhook(id, of: request.caller)
    let parked = try await queues.parked(of: id, after: after, limit: Self.page + 1)
    var writer = JSONWriter(reserving: 4_096)
    writer.object { writer in
      writer.objects("parked", of: parked.prefix(Self.page)) { writer, entry in
        writer.member("document_id", entry.document.description)
        writer.member("version", entry.next.value)
        writer.member("attempts", entry.failures)
        writer.member("problem", entry.reason)
        writer.member("parked_at", entry.at.description)
      }
      writer.member("next", orNull: parked.count > Self.page ? parked[Self.page - 1].document.description : nil)
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func resume(_ request: Request, _ id: UUID, _ document: UUID, _ wanted: String) async throws -> Response {
    _ = try await webhook(id, of: request.caller)
    guard try await queues.resume(id, document, skips: wanted == "skip") else {
      throw Problem(404, "Not found", detail: "document \(document) is not parked for this webhook", field: "document")
    }
    return Response(204)
  }
}

/// The webhooks that are tested at this moment.
private final class Testing: Sendable {
  let webhooks = Mutex<Set<UUID>>([])
}
