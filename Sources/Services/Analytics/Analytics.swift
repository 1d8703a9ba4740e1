import Configuration
import Domain
import EventStore
import HTTPServer
import Identifiers
import JSON
import Projections
import Time

/// How often documents are read: in total, by day, and which are read most.
public struct Analytics: Feature {
  public let name = "analytics"

  public init() {}

  public func routes(_ context: Context) throws -> [RouteGroup] {
    [
      AnalyticsRoutes(
        counts: ViewCounts(context), saved: SavedReadCounts(context.pool), documents: AggregateStore(context.store)
      ).group
    ]
  }
}

/// `/documents/{id}/stats` and `/analytics/top`.
struct AnalyticsRoutes: Sendable {
  let counts: ViewCounts
  let saved: SavedReadCounts
  let documents: AggregateStore<Document>

  var group: RouteGroup {
    RouteGroup(
      "Analytics",
      routes: [
        Route(
          .get, "/documents/{id}/stats", "How often a document was read, and by how many.", right: .view,
          answers: [Answer(200, "The counts.", schema: Self.statisticsSchema)], DocumentInputs.id,
          Input(
            query: "days", default: 30, in: 0...366, "Views by day for so many days; they are a minute or two behind."),
          handler: statistics),
        Route(
          .get, "/analytics/top", "What is read most.", right: .overview,
          answers: [Answer(200, "Documents, the most read first; a minute or two behind.", schema: Self.topSchema)],
          Input(query: "days", default: 7, in: 1...366, "Of the last days, today included (UTC)."),
          Input(query: "limit", default: 10, in: 1...100, "The most documents in the answer."), handler: top),
      ])
  }

  private static let daySchema = JSONSchema.object([.init("day", .string(format: "date")), .init("views", .integer)])

  private static let statisticsSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")),
    .init("total_views", .integer),
    .init("unique_views", .integer, "Client addresses; an estimate with a standard error of 0.81 %."),
    .init("days", .array(daySchema), "Days without a view are left out."),
    .init(
      "loss_seconds", .integer,
      "How much counting is lost at most if Redis loses everything: the totals are saved so often."),
  ])

  private static let topSchema = JSONSchema.object([
    .init(
      "documents", .array(.object([.init("id", .string(format: "uuid")), .init("views", .integer)])))
  ])

  /// The first of the last days, `2026-11-27`.
  private static func day(_ days: Int) -> String {
    let now = Timestamp.now().microseconds
    return String(Timestamp(microseconds: now - Int64(max(0, days - 1)) * 86_400_000_000).description.prefix(10))
  }

  @Sendable
  private func statistics(_ request: Request, _ id: UUID, _ days: Int) async throws -> Response {
    guard let document = try await documents.load(id.description).state else { throw DocumentRefusal.notFound }
    guard !document.isDeleted else { throw DocumentRefusal.deleted }
    let statistics = try await counts.statistics(id)
    let days = days == 0 ? [] : try await saved.days(of: id, since: Self.day(days))
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("document_id", id.description)
      writer.member("total_views", statistics.views)
      writer.member("unique_views", statistics.uniqueVisitors)
      writer.objects("days", of: days) { writer, entry in
        let (day, views) = entry
        writer.member("day", day)
        writer.member("views", views)
      }
      writer.member("loss_seconds", DurableViews.loss.components.seconds)
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func top(_ request: Request, _ days: Int, _ limit: Int) async throws -> Response {
    // Some may be deleted: those that come after them take their places.
    var top: [(document: UUID, views: Int64)] = []
    for read in try await saved.most(from: Self.day(days), to: Self.day(1), limit: limit * 2) where top.count < limit {
      if try await documents.load(read.document.description).state?.isDeleted == false { top.append(read) }
    }
    var writer = JSONWriter()
    writer.object { writer in
      writer.objects("documents", of: top) { writer, entry in
        let (id, views) = entry
        writer.member("id", id.description)
        writer.member("views", views)
      }
    }
    return .json(writer.bytes)
  }
}
