import Domain
import HTTPServer
import JSON
import Projections

/// `/lists`: documents by status and by creator, and counts, from Redis.
struct ListRoutes: Sendable {
  private let lists: DocumentLists
  private let readers: ViewReaders

  init(_ lists: DocumentLists, _ readers: ViewReaders) { (self.lists, self.readers) = (lists, readers) }

  var group: RouteGroup {
    RouteGroup(
      "Lists",
      routes: [
        Route(
          .get, "/lists/status/{status}", "Ids of the documents with a status, newest first.", right: .overview,
          answers: [Answer(200, "A part of the list.", schema: Self.listSchema)],
          Input<String>(path: "status", oneOf: DocumentStatus.allCases.map(\.rawValue), "The status."), Self.from,
          Self.limit, AtLeast.header, AtLeast.query
        ) { request, status, from, limit, header, query in
          try await answer(request, .status(status), from, limit, header, query)
        },
        Route(
          .get, "/lists/creator/{creator}", "Ids of the documents of a creator, newest first.", right: .overview,
          answers: [Answer(200, "A part of the list.", schema: Self.listSchema)],
          Input<String>(path: "creator", "Who created them."), Self.from, Self.limit, AtLeast.header, AtLeast.query
        ) { request, creator, from, limit, header, query in
          try await answer(request, .creator(creator), from, limit, header, query)
        },
        Route(
          .get, "/lists/counts", "How many documents there are of each status and day of creation.", right: .overview,
          answers: [Answer(200, "The counts, by day and status.", schema: Self.countsSchema)], AtLeast.header,
          AtLeast.query
        ) { request, header, query in
          try await readers.wait(for: header, query, request)
          let counts = try await lists.counts()
          var writer = JSONWriter()
          writer.object { writer in
            writer.objects("counts", of: counts) { writer, count in
              writer.member("status", count.status)
              writer.member("day", count.day)
              writer.member("count", count.count)
            }
          }
          return .json(writer.bytes)
        },
      ])
  }

  private static let from = Input(query: "from", default: 0, in: 0...1_000_000, "Ids to leave out.")
  private static let limit = Input(query: "limit", default: 20, in: 1...1_000, "The most ids in the answer.")

  private static let listSchema = JSONSchema.object([
    .init("total", .integer), .init("documents", .array(.string(format: "uuid"))),
  ])
  private static let countsSchema = JSONSchema.object([
    .init(
      "counts",
      .array(.object([.init("status", .string()), .init("day", .string(format: "date")), .init("count", .integer)])))
  ])

  private func answer(
    _ request: Request, _ list: DocumentLists.List, _ from: Int, _ limit: Int, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query, request)
    let (total, ids) = try await lists.documents(in: list, from: from, limit: limit)
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("total", total)
      writer.member("documents", ids)
    }
    return .json(writer.bytes)
  }
}
