import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Kafka
import Logging
import Postgres
import Projections
import Relay
import Synchronization
import Time
import Tracing

/// Where an event has come to: outbox, Kafka, views, webhooks, and what its trace says of the way.
struct Whereabouts: Sendable {
  private let context: Context
  private let outbox: OutboxPlaces
  private let webhooks: WebhookQueues
  private let spans: KeptSpans
  private let views: [any AwaitableView]
  private let topics: TopicTemplate
  private let search: KafkaSearch

  /// More attempts and spans are not shown.
  private static let most = 1_000
  /// How much older a message's time may be than its event's: clocks differ.
  private static let tolerance: Int64 = 60_000

  init(_ context: Context) throws {
    (self.context, outbox, webhooks) = (context, OutboxPlaces(context.pool), WebhookQueues(context.pool))
    spans = KeptSpans(context.pool)
    topics = try context.topicTemplate
    search = KafkaSearch(context.kafka)
    views = try context.views.compactMap { $0 as? any AwaitableView }
  }

  var route: Route {
    Route(
      .get, "/events/{event}/where",
      "Where an event has come to: outbox, relays, Kafka, each view, each webhook, and each socket if it is traced.",
      right: .overview, answers: [Answer(200, "Where it is.", schema: Self.schema)],
      Input<UUID>(path: "event", "The event's id."), handler: find)
  }

  private static let schema = JSONSchema.object([
    .init("event_id", .string(format: "uuid")), .init("stream", .string()), .init("version", .integer),
    .init("type", .string()), .init("index", .integer, "Its place in the log."),
    .init("recorded_at", .string(format: "date-time")),
    .init("trace_id", .nullable(.string()), "null: the request that caused it was not traced."),
    .init(
      "outbox",
      .nullable(
        .object([
          .init("sequence", .integer), .init("transaction", .string()),
          .init("kept", .boolean, "false: every reader has it, and its partition is gone; or it is not published."),
        ]))),
    .init(
      "relays",
      .array(
        .object([
          .init("name", .string()), .init("confirmed_lsn", .nullable(.string())),
          .init("has_confirmed", .nullable(.boolean), "null: where the event was in the WAL is not known."),
        ]))),
    .init(
      "kafka",
      .object([
        .init("topic", .string()), .init("partition", .nullable(.integer)), .init("offset", .nullable(.integer)),
        .init("timestamp", .nullable(.string(format: "date-time"))), .init("lsn", .nullable(.string())),
        .init("problem", .nullable(.string()), "Why it was not found."),
      ])),
    .init(
      "views",
      .array(
        .object([
          .init("view", .string()), .init("version", .nullable(.integer), "The version of the stream that it shows."),
          .init("has", .boolean), .init("problem", .nullable(.string())),
        ]))),
    .init(
      "webhooks",
      .array(.object([.init("webhook_id", .string(format: "uuid"))] + WebhookAnswers.attemptMembers))),
    .init("steps", .array(stepSchema), "Of its trace, as long as they are kept: sockets are among them."),
  ])

  private static let stepSchema = JSONSchema.object([
    .init("name", .string()), .init("process", .string()), .init("begun", .string(format: "date-time")),
    .init("milliseconds", .number), .init("failure", .nullable(.string())), .init("attributes", .any),
  ])

  @Sendable
  private func find(_ request: Request, _ id: UUID) async throws -> Response {
    // How long it takes is Kafka's to say.
    LoadShedding.slot?.leave()
    guard let index = try await context.store.index(of: id),
      let event = try await context.store.readLog(from: index, limit: 1).events.first, event.id == id
    else {
      throw Problem(404, "Not found", detail: "the log has no event \(id), or has not numbered it yet", field: "event")
    }
    let trace = try event.metadata.traceparent.flatMap { TraceContext(traceparent: $0) }
    async let place = outbox.place(of: id)
    async let message = message(of: event)
    async let shown = shown(event)
    let attempts = try await webhooks.attempts(ofEvent: id, limit: Self.most)
    let steps = if let trace { try await spans.spans(of: trace, limit: Self.most) } else { [KeptSpans.Entry]() }
    let (found, row, seen) = (await message, try await place, await shown)
    let readers = try await outbox.readers()
    var writer = JSONWriter(reserving: 4_096)
    writer.object { writer in
      writer.member("event_id", id.description)
      writer.member("stream", event.stream.description)
      writer.member("version", event.version.value)
      writer.member("type", event.type)
      writer.member("index", index.value)
      writer.member("recorded_at", event.recordedAt.description)
      writer.member("trace_id", orNull: trace?.trace)
      writer.name("outbox")
      if let row {
        writer.object {
          $0.member("sequence", row.sequence)
          $0.member("transaction", row.transaction)
          $0.member("kept", row.isKept)
        }
      } else {
        writer.null()
      }
      writer.objects("relays", of: readers) { writer, reader in
        writer.member("name", reader.name)
        writer.member("confirmed_lsn", orNull: reader.confirmed?.description)
        let has = reader.confirmed.flatMap { confirmed in found.lsn.map { $0 < confirmed } }
        writer.member("has_confirmed", has.map { .bool($0) } ?? JSONValue.null)
      }
      writer.name("kafka")
      writer.object { found.write(&$0) }
      writer.objects("views", of: seen) { writer, view in
        writer.member("view", view.name)
        writer.member("version", view.version.map { .integer($0.value) } ?? JSONValue.null)
        writer.member("has", view.version.map { $0 >= event.version } ?? false)
        writer.member("problem", orNull: view.problem)
      }
      writer.objects("webhooks", of: attempts) { writer, entry in
        writer.member("webhook_id", entry.webhook.description)
        entry.attempt.write(&writer)
      }
      writer.objects("steps", of: steps) { $1.write(&$0) }
    }
    return .json(writer.bytes)
  }

  // MARK: Kafka

  private struct Found: Sendable {
    let topic: String
    var message: KafkaMessage?
    var lsn: LogSequenceNumber?
    var problem: String?

    func write(_ writer: inout JSONWriter) {
      writer.member("topic", topic)
      writer.member("partition", message.map { .integer(Int64($0.source.partition)) } ?? JSONValue.null)
      writer.member("offset", message.map { .integer($0.offset) } ?? JSONValue.null)
      writer.member("timestamp", orNull: message?.timestamp.map { Timestamp(microseconds: $0 * 1_000).description })
      writer.member("lsn", orNull: lsn?.description)
      writer.member("problem", orNull: problem)
    }
  }

  private func message(of event: RecordedEvent) async -> Found {
    let topic = topics.topic(for: event.stream.category)
    var found = Found(topic: topic)
    do {
      guard search.begin() else {
        found.problem = "others are searching Kafka: try again"
        return found
      }
      defer { search.end() }
      found.message = try await search.kafka.find(
        in: topic, key: Array(#"{"id":"\#(event.stream.id)"}"#.utf8), header: "event_id",
        Array(event.id.description.utf8), since: event.recordedAt.microseconds / 1_000 - Self.tolerance)
      if let value = found.message?.value {
        found.lsn = try JSONValue(parsing: value)["source"]?["lsn"]?.integer
          .map { LogSequenceNumber(UInt64(bitPattern: $0)) }
      } else if found.message == nil {
        found.problem =
          "it is not in its key's partition (yet), not there any more, or not among the 100,000 messages after its time"
      }
    } catch {
      context.logger.warning("An event cannot be looked for in Kafka", metadata: ["topic": topic, .error: "\(error)"])
      found.problem = "Kafka cannot be searched: the log says why"
    }
    return found
  }

  // MARK: Views

  private func shown(_ event: RecordedEvent) async -> [(name: String, version: StreamVersion?, problem: String?)] {
    var shown: [(name: String, version: StreamVersion?, problem: String?)] = []
    for view in views where view.categories.contains(event.stream.category) {
      do {
        shown.append((view.name, try await view.visibleVersion(of: event.stream, atLeast: event.version), nil))
      } catch {
        context.logger.warning("A view cannot be asked", metadata: ["view": view.name, .error: "\(error)"])
        shown.append((view.name, nil, "the view cannot be asked: the log says why"))
      }
    }
    return shown
  }
}

/// Searches in Kafka: each has a client of its own, so there are few at the same time.
private final class KafkaSearch: Sendable {
  let kafka: KafkaAdmin
  private let running = Mutex(0)
  private static let limit = 2

  init(_ options: KafkaOptions) { kafka = KafkaAdmin(options, timeout: .seconds(5)) }

  func begin() -> Bool {
    running.withLock { running in
      guard running < Self.limit else { return false }
      running += 1
      return true
    }
  }

  func end() { running.withLock { $0 -= 1 } }
}

extension KeptSpans.Entry {
  func write(_ writer: inout JSONWriter) {
    writer.member("name", span.name)
    writer.member("process", process)
    writer.member("begun", span.begun.description)
    writer.member(
      "milliseconds",
      .number(
        literal: "\(Double(span.ended.microseconds - span.begun.microseconds) / 1_000)"))
    writer.member("failure", orNull: span.failure)
    writer.name("attributes")
    writer.object {
      for attribute in span.attributes {
        switch attribute.value {
        case .text(let text): $0.member(attribute.name, text)
        case .number(let number): $0.member(attribute.name, number)
        case .flag(let flag): $0.member(attribute.name, flag)
        }
      }
    }
  }
}
