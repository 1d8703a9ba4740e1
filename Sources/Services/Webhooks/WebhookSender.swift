import Configuration
import Domain
import EventStore
import Events
import HTTPClient
import Identifiers
import Lifecycle
import Logging
import Metrics
import Reactor
import Synchronization
import Time
import Tracing

/// Tells webhooks of what happens to documents: each message at least once, and those of one document in order.
///
/// One process follows the log and notes which documents have news for which webhook; all send. A message that is not taken is sent again
/// after longer and longer pauses, and what happened to its document since waits behind it; other documents do not. When all attempts have
/// failed the document is parked, until somebody resumes it.
final class WebhookSender: Worker {
  let name = "webhooks"
  /// Its place in the log is kept under this name.
  static let reader = "webhooks"
  private let context: Context
  private let known: KnownWebhooks
  private let queues: WebhookQueues
  private let messages: WebhookMessages
  private let post: WebhookPost
  private let retries: WebhookRetries
  private let bell: Doorbell
  private let logger: Logger
  private let delivered, failed, parked: Counter
  private let state = Mutex(State())

  private struct State {
    var problem: (text: String, at: ContinuousClock.Instant)?
    var places = WebhookPlaces()
  }

  /// Events that are read together, and from how many milliseconds on a webhook is slow.
  private static let (page, slowness) = (500, 5_000)
  /// For how long a document is sent on before others have their turn. Others leave it alone for a minute.
  private static let turn = Duration.seconds(20)
  /// After how long a document is looked at again that could not be read.
  private static let again = Duration.seconds(30)
  private static let (pause, tidying) = (Duration.seconds(1), Duration.seconds(3_600))
  /// A problem that has not come again for so long is over.
  private static let memory = Duration.seconds(60)

  init(_ context: Context) {
    self.context = context
    (known, queues) = (KnownWebhooks(context.store), WebhookQueues(context.pool))
    (messages, post) = (WebhookMessages(context.store), WebhookPost(context))
    retries = context.settings[WebhookSettings.retries]
    bell = Doorbell(on: context.reactor)
    logger = context.logger.labelled("webhooks")
    func counter(_ outcome: String) -> Counter {
      context.metrics.counter(
        "annals_webhook_attempts_total", ["outcome": outcome],
        help: "Messages sent to webhooks, by what became of them.")
    }
    (delivered, failed) = (counter("delivered"), counter("failed"))
    parked = context.metrics.counter(
      "annals_webhook_parked_total", help: "Documents that were parked: a webhook has not taken a message.")
  }

  var problem: String? {
    get async { state.withLock { $0.problem.flatMap { .now - $0.at < Self.memory ? $0.text : nil } } }
  }

  private func note(problem: String, _ error: any Error) {
    state.withLock { $0.problem = (problem, .now) }
    logger.warning("Webhooks are not told", metadata: ["what": "\(problem)", .error: "\(error)"])
  }

  private func noteMissingSecret() {
    state.withLock { $0.problem = ("webhooks.secret is empty: webhooks are told nothing until it is set", .now) }
  }

  func run(until stop: StopSignal) async throws {
    try await stop.cancels {
      await self.context.reactor.run {
        await withTaskGroup { group in
          group.addTask(executorPreference: self.context.reactor) { await self.follow() }
          group.addTask(executorPreference: self.context.reactor) { await self.send() }
          group.addTask(executorPreference: self.context.reactor) { await self.tidy() }
        }
      }
    }
  }

  // MARK: The log

  private func follow() async {
    let subscription = Subscription(
      Self.reader, .category("\(Document.category)"), of: context.store, context.postgres, pageSize: Self.page,
      beginning: { [store = context.store] in try await store.beginning(of: WebhookList.category) },
      on: context.reactor, logger: context.logger, metrics: context.metrics)
    await subscription.follow(on: context.reactor) { error in
      note(problem: "the log is not followed for webhooks: the log says why", error)
    } reset: {
      // What was sent is sent again, under the same ids.
      known.reset()
    } _: {
      try await note($0)
    }
  }

  private func note(_ events: [RecordedEvent]) async throws {
    let entries = Array(try await known.webhooks().values)
    guard !entries.isEmpty else { return }
    var notes = WebhookNotes()
    for event in events {
      guard let index = event.index else { continue }
      notes.add(event, entries) { $0.isTold(at: index) }
      // Others run on this loop too.
      await Task.yield()
    }
    let all = notes.all
    guard !all.isEmpty else { return }
    try await queues.note(all)
    bell.ring()
  }

  // MARK: Sending

  private func send() async {
    await withDiscardingTaskGroup { group in
      var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
      while !Task.isCancelled {
        do {
          let told = try await known.webhooks().values.filter { $0.webhook.disabled == nil }.map(\.webhook.id)
          let (places, count) = state.withLock { $0.places.free(among: told) }
          let hasKeys = !post.keys.isEmpty
          if !hasKeys, !places.isEmpty { noteMissingSecret() }
          let taken = places.isEmpty || !hasKeys ? [] : try await queues.take(places, count)
          // Read after it: they include whatever was changed before the newest event was noted.
          let webhooks = taken.isEmpty ? [:] : try await known.webhooks()
          for entry in taken {
            guard let webhook = webhooks[entry.webhook], webhook.webhook.disabled == nil else {
              try await settle(entry, [], next: entry.next, entry.sent, entry.failures, in: .zero)
              continue
            }
            state.withLock { $0.places.take(entry.webhook) }
            group.addTask(executorPreference: context.reactor) { await self.send(entry, webhook) }
          }
          backoff.reset()
          if taken.isEmpty, await bell.wait(timeout: Self.pause) == .cancelled { return }
        } catch {
          if Task.isCancelled { return }
          note(problem: "webhooks are not told: Postgres does not answer", error)
          do { try await context.reactor.sleep(for: backoff.next()) } catch { return }
        }
      }
    }
  }

  private func send(_ entry: WebhookQueues.Entry, _ webhook: KnownWebhooks.Entry) async {
    do { try await turn(entry, webhook) } catch {
      if !Task.isCancelled {
        note(problem: "document \(entry.document) cannot be told to webhook \(entry.webhook): the log says why", error)
      }
    }
    state.withLock { $0.places.leave(entry.webhook) }
    bell.ring()
  }

  /// Sends what happened to a document, in order, until it is done, one fails, or its turn is over.
  private func turn(_ entry: WebhookQueues.Entry, _ webhook: KnownWebhooks.Entry) async throws {
    let end = ContinuousClock.now + Self.turn
    var (next, sent, failures) = (entry.next, entry.sent, entry.failures)
    var attempts: [WebhookQueues.Attempt] = []
    // A document that has lost its end has nothing more to tell.
    while next <= entry.newest {
      let told: [WebhookMessages.Told]
      do {
        told = try await messages.told(entry.document, from: next, of: webhook.webhook, for: webhook.reader)
          .filter { $0.version <= entry.newest }
      } catch {
        // What was sent stays sent.
        try? await settle(entry, attempts, next: next, sent, failures, in: Self.again)
        throw error
      }
      if ContinuousClock.now > end, next > entry.next {
        return try await settle(entry, attempts, next: next, sent, failures, in: .zero)
      }
      guard !told.isEmpty else {
        next = entry.newest.next
        break
      }
      for event in told {
        for message in event.messages where message.part >= sent {
          // One is sent in each turn, however long it took to make it.
          guard !Task.isCancelled, ContinuousClock.now < end || attempts.isEmpty else {
            return try await settle(entry, attempts, next: event.version, sent, failures, in: .zero)
          }
          let answer = await post.send(
            message.id, message.json, to: webhook.webhook, trace: message.trace, number: failures + 1)
          attempts.append(
            WebhookQueues.Attempt(
              message: message.id, event: message.event, document: entry.document, version: message.version,
              number: failures + 1, at: answer.at, milliseconds: answer.milliseconds, status: answer.status,
              problem: answer.problem))
          logger.debug(
            "A webhook was sent a message",
            metadata: [
              .trace: message.trace.flatMap { TraceContext(traceparent: $0)?.trace } ?? "", "message": message.id,
              "status": "\(answer.status ?? 0)",
            ])
          guard let problem = answer.problem else {
            delivered.increment()
            let isSlow = answer.milliseconds > Self.slowness
            state.withLock { $0.places.delivered(entry.webhook, isSlow: isSlow) }
            (sent, failures) = (message.part + 1, 0)
            continue
          }
          if Task.isCancelled {
            // The process ends: that is not the webhook's doing.
            attempts.removeLast()
            return try await settle(entry, attempts, next: event.version, sent, failures, in: .zero)
          }
          failed.increment()
          failures += 1
          state.withLock {
            $0.places.failed(entry.webhook, isOverloaded: answer.isOverloaded, pause: answer.retryAfter)
          }
          return try await put(off: entry, webhook, attempts, event.version, sent, failures, answer, problem)
        }
        (next, sent, failures) = (event.version.next, 0, 0)
      }
    }
    try await settle(entry, attempts, next: next, 0, 0, in: .zero)
  }

  /// After a failure.
  private func put(
    off entry: WebhookQueues.Entry, _ webhook: KnownWebhooks.Entry, _ attempts: [WebhookQueues.Attempt],
    _ version: StreamVersion, _ sent: Int, _ failures: Int, _ answer: WebhookPost.Answer, _ problem: String
  ) async throws {
    if answer.status == 410 {
      // Its owner may have named another URL meanwhile.
      guard try await known.webhooks()[entry.webhook]?.webhook.url == webhook.webhook.url else {
        return try await settle(entry, attempts, next: version, sent, 0, in: .zero)
      }
      _ = try await AggregateStore<WebhookList>(context.store).execute(
        .disable(id: entry.webhook, reason: "it answered 410 Gone", at: .now()), on: webhook.list,
        metadata: EventMetadata(actor: "webhook \(entry.webhook)"))
      logger.warning("A webhook wants nothing more: it is disabled", metadata: ["webhook": "\(entry.webhook)"])
      return try await settle(entry, attempts, next: version, sent, 0, in: .zero)
    }
    guard let delay = retries.delay(after: failures) else {
      parked.increment()
      logger.error(
        "A webhook has not taken a message: its document is parked",
        metadata: [
          "webhook": "\(entry.webhook)", "document": "\(entry.document)", "version": "\(version)", .error: "\(problem)",
        ])
      return try await settle(entry, attempts, next: version, sent, failures, in: .zero, parked: problem)
    }
    try await settle(
      entry, attempts, next: version, sent, failures,
      in: max(delay, WebhookPlaces.pause(asked: answer.retryAfter)))
  }

  private func settle(
    _ entry: WebhookQueues.Entry, _ attempts: [WebhookQueues.Attempt], next: StreamVersion, _ sent: Int,
    _ failures: Int, in delay: Duration, parked: String? = nil
  ) async throws {
    // The process may be ending: what was sent is noted all the same.
    try await Task { [queues] in
      try await queues.record(attempts, of: entry)
      try await queues.settle(entry, next: next, sent: sent, failures: failures, in: delay, parked: parked)
    }.value
  }

  // MARK: What is old

  private func tidy() async {
    let age = context.settings[WebhookSettings.keepAttempts]
    while !Task.isCancelled {
      do {
        let hasMore = try await queues.forgetAttempts(olderThan: age)
        try await context.reactor.sleep(for: hasMore ? .milliseconds(100) : Self.tidying)
      } catch is CancellationError { return } catch {
        if Task.isCancelled { return }
        logger.warning("Old attempts cannot be forgotten", metadata: [.error: "\(error)"])
        do { try await context.reactor.sleep(for: Self.tidying) } catch { return }
      }
    }
  }
}
