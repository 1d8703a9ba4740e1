import Configuration
import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Logging
public import Projections
import Time

/// The audit of documents: who changed what, when, from what to what, by replay of the stream.
public struct Audit: Feature {
  public let name = "audit"

  public init() {}

  public func views(_ context: Context) throws -> [any View] { [Self.activity(context)] }

  static func activity(_ context: Context) -> Activity {
    Activity(
      context.elasticsearch, alias: context.settings[Search.alias] + "-activity", options: .init(context.settings))
  }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    let store = AggregateStore<Document>(context.store)
    return [
      RouteGroup(
        "Audit",
        routes: [
          Route(
            .get, "/documents/{id}/audit", "Every event of a document, oldest first.", right: .audit,
            answers: [Answer(200, "The history.", schema: Self.schema)], DocumentInputs.id
          ) { _, id in
            let answer = try await Self.history(store, id, context.logger)
            guard let answer else { throw DocumentRefusal.notFound }
            return answer
          },
          try Whereabouts(context).route,
        ]),
      ActivityRoutes(
        Self.activity(context), ViewReaders(view: Self.activity(context), reactor: context.reactor)
      ).group,
    ]
  }

  private static let schema = JSONSchema.object([
    .init("id", .string(format: "uuid")),
    .init(
      "entries",
      .array(
        .named(
          "AuditEntry",
          .object([
            .init("version", .integer), .init("event_id", .string(format: "uuid")), .init("type", .string()),
            .init("actor", .string()), .init("recorded_at", .string(format: "date-time")),
            .init("correlation_id", .string(), isRequired: false),
            .init(
              "changes",
              .array(.object([.init("field", .string()), .init("before", .any), .init("after", .any)]))),
          ])))),
  ])

  /// Streams a history a page at a time: it may be longer than memory. nil: the stream has no events.
  private static func history<State: Aggregate>(
    _ store: AggregateStore<State>, _ id: UUID, _ logger: Logger
  ) async throws -> Response? {
    var pages = store.history(of: id.description).makeAsyncIterator()
    guard let first = try await pages.next() else { return nil }
    let rest = pages
    let beginning = Array(#"{"id":"\#(id)","entries":["#.utf8) + (try text(of: first, isFirst: true))
    return Response(
      200, headers: [("Content-Type", "application/json")],
      body: .stream(length: nil) { body in
        do {
          try await body.write(beginning)
          var pages = rest
          while let page = try await pages.next() { try await body.write(text(of: page, isFirst: false)) }
          try await body.write(Array("]}".utf8))
        } catch  where !(error is ClientGone) && !(error is CancellationError) {
          // The status is sent already: the client sees a body that ends too early.
          logger.warning(
            "The audit ends too early", metadata: ["stream": "\(State.stream(id.description))", .error: "\(error)"])
          throw error
        }
      })
  }

  private static func text<State: Aggregate>(
    of steps: [AggregateStore<State>.Step], isFirst: Bool
  ) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for step in steps {
      if !(isFirst && bytes.isEmpty) { bytes.append(UInt8(ascii: ",")) }
      var writer = JSONWriter()
      write(
        step, try step.recorded.metadata, changes: try changes(step), &writer)
      bytes += writer.bytes
    }
    return bytes
  }

  /// The fields of the row, and what is no part of it.
  private static func changes<State: Aggregate>(_ step: AggregateStore<State>.Step) throws -> [FieldChange] {
    let changes = FieldChange.between(try row(step.before), try row(step.after))
    guard case .labelled(let version, let label, _)? = step.event as? DocumentEvent else { return changes }
    let before = (step.before as? Document)?.labels[version]
    return changes + [
      FieldChange(
        field: "versions/\(version)/label", before: before.map { .string($0) }, after: label.map { .string($0) })
    ]
  }

  private static func write<State: Aggregate>(
    _ step: AggregateStore<State>.Step, _ metadata: EventMetadata, changes: [FieldChange], _ writer: inout JSONWriter
  ) {
    writer.object { writer in
      writer.member("version", step.recorded.version.value)
      writer.member("event_id", step.recorded.id.description)
      writer.member("type", step.recorded.type)
      writer.member("actor", metadata.actor)
      writer.member("recorded_at", step.recorded.recordedAt.description)
      if let correlation = metadata.correlationID { writer.member("correlation_id", correlation) }
      writer.changes(changes)
    }
  }

  private static func row(_ state: (some Aggregate)?) throws(JSONError) -> JSONObject? {
    guard let row = state?.publishedRow else { return nil }
    return try JSONValue(parsing: row).object
  }
}
