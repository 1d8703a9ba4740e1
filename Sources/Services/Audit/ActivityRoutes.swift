import HTTPServer
import JSON
import Projections
import Time

/// `/activity`: who did what on which document when.
struct ActivityRoutes: Sendable {
  private let activity: Activity
  private let readers: ViewReaders

  init(_ activity: Activity, _ readers: ViewReaders) { (self.activity, self.readers) = (activity, readers) }

  var group: RouteGroup {
    RouteGroup(
      "Activity",
      routes: [
        Route(
          .get, "/activity", "Who did what on which document when, newest first.", right: .overview,
          answers: [Answer(200, "A page of entries.", schema: Self.schema)],
          Input<String?>(query: "document", "Only what concerns this document."),
          Input<String?>(query: "actor", "Only what this one did."),
          Input<String?>(query: "event", "Only events of this type, for example DocumentCreated."),
          Input<String?>(query: "q", "Words in the title or the actor."),
          Input<Timestamp?>(query: "from", "From this time on."),
          Input<Timestamp?>(query: "before", "Before this time."),
          Input(query: "limit", default: 20, in: 1...1_000, "The most entries in the answer."),
          Input<Cursor?>(query: "cursor", "`next_cursor` of an earlier answer."), AtLeast.header, AtLeast.query,
          handler: find)
      ])
  }

  private static let schema = JSONSchema.object([
    .init(
      "entries",
      .array(
        .named(
          "Activity",
          .object([
            .init("id", .string(format: "uuid"), "The event's."), .init("document_id", .string(format: "uuid")),
            .init("stream", .string()), .init("version", .integer), .init("event", .string()),
            .init("actor", .string()), .init("at", .string(format: "date-time")),
            .init("title", .string(), isRequired: false), .init("status", .string(), isRequired: false),
          ])))), .init("next_cursor", .nullable(.string()), "null on the last page."),
  ])

  @Sendable
  private func find(
    _ request: Request, _ document: String?, _ actor: String?, _ event: String?, _ text: String?, _ from: Timestamp?,
    _ before: Timestamp?, _ limit: Int, _ cursor: Cursor?, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query, request)
    var filter = Activity.Filter()
    (filter.document, filter.actor, filter.event, filter.text) = (document, actor, event, text)
    (filter.from, filter.before) = (from?.description, before?.description)
    let (entries, next) = try await activity.find(filter, after: cursor?.sort, limit: limit)
    return .page("entries", entries, next: next)
  }
}
