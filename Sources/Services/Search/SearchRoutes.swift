import Domain
import HTTPServer
import JSON

/// `/search`, `/aggregations` and the list of documents.
struct SearchRoutes: Sendable {
  private let search: SearchService
  private let readers: ViewReaders

  init(_ search: SearchService, _ readers: ViewReaders) { (self.search, self.readers) = (search, readers) }

  var group: RouteGroup {
    RouteGroup(
      "Search",
      routes: [
        Route(
          .get, "/search", "Full-text search over title, content and author, best first.", right: .identified,
          answers: [Answer(200, "A page of hits.", schema: Self.pageSchema)],
          Input<String?>(query: "q", "The text to search for; all documents if it is missing."),
          Self.status, Self.createdBy, Input(query: "from", default: 0, in: 0...9_900, "Hits to leave out."),
          Input(query: "size", default: 10, in: 1...100, "The most hits in the answer."),
          Input(query: "mode", default: "keyword", oneOf: ["keyword"], "The kind of search."), AtLeast.header,
          AtLeast.query, handler: find),
        Route(
          .get, "/documents", "List documents, newest first.", right: .identified,
          answers: [Answer(200, "A page of documents.", schema: Self.listSchema)],
          Self.status, Self.createdBy, Input<String?>(query: "content_type", "Only documents of this media type."),
          Input(query: "limit", default: 20, in: 1...100, "The most documents in the answer."),
          Input<Cursor?>(query: "cursor", "`next_cursor` of an earlier answer."), AtLeast.header, AtLeast.query,
          handler: list),
        Route(
          .get, "/aggregations/{field}", "Count documents by the values of a field.", right: .identified,
          answers: [Answer(200, "Values and counts, most frequent first; days in order.", schema: Self.countsSchema)],
          Input(path: "field", oneOf: SearchService.aggregations.map(\.field), "The field."), AtLeast.header,
          AtLeast.query, handler: aggregate),
      ])
  }

  private static let status = Input<DocumentStatus?>(query: "status", "Only documents with this status.")
  private static let createdBy = Input<String?>(query: "created_by", "Only documents of this creator.")

  private static let hitSchema = JSONSchema.named(
    "Hit",
    .object(
      Document.properties + [
        .init("score", .nullable(.number), "How well it fits."),
        .init(
          "highlights",
          .raw(["type": "object", "additionalProperties": ["type": "array", "items": ["type": "string"]]]),
          "Excerpts by field, with what was found between <em> and </em>."),
      ]))

  private static let pageSchema = JSONSchema.object([
    .init("total", .integer), .init("documents", .array(hitSchema)), .init("took_ms", .integer),
    .init("from", .integer),
    .init("size", .integer, "The number that was asked for."),
  ])

  private static let listSchema = JSONSchema.object([
    .init("total", .integer), .init("documents", .array(Document.schema)),
    .init("next_cursor", .nullable(.string()), "null on the last page."),
  ])

  private static let countsSchema = JSONSchema.object([
    .init("field", .string()),
    .init("values", .array(.object([.init("key", .any), .init("count", .integer)]))),
  ])

  @Sendable
  private func find(
    _ request: Request, _ text: String?, _ status: DocumentStatus?, _ createdBy: String?, _ from: Int, _ size: Int,
    _ mode: String, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query)
    let page = try await search.search(
      text ?? "", .init(status: status, createdBy: createdBy, for: request.caller), from: from, size: size)
    var writer = JSONWriter(reserving: 8_192)
    writer.object { writer in
      writer.member("total", page.total)
      writer.name("documents")
      writer.array { writer in
        for hit in page.hits {
          writer.element()
          writer.object {
            // The members of the row, then those of the hit.
            $0.spliceMembers(of: hit.row)
            $0.member("score", hit.score)
            $0.member("highlights", hit.highlights)
          }
        }
      }
      writer.member("took_ms", page.took)
      writer.member("from", from)
      writer.member("size", size)
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func list(
    _ request: Request, _ status: DocumentStatus?, _ createdBy: String?, _ contentType: String?, _ limit: Int,
    _ cursor: Cursor?, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query)
    let page = try await search.list(
      .init(status: status, createdBy: createdBy, contentType: contentType, for: request.caller), after: cursor?.sort,
      size: limit)
    var writer = JSONWriter(reserving: 8_192)
    writer.object { writer in
      writer.member("total", page.total)
      writer.name("documents")
      writer.array { writer in
        for hit in page.hits {
          writer.element()
          writer.splice(hit.row)
        }
      }
      writer.member(
        "next_cursor", orNull: page.hits.count < limit ? nil : page.hits.last.map { Cursor(sort: $0.sort).text })
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func aggregate(
    _ request: Request, _ field: String, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query)
    guard let (_, aggregation) = SearchService.aggregations.first(where: { $0.field == field }) else {
      throw Problem.internalError
    }
    let values = try await search.aggregate(aggregation, .init(for: request.caller))
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("field", field)
      writer.name("values")
      writer.array { writer in
        for (value, count) in values {
          writer.element()
          writer.object {
            $0.member("key", value)
            $0.member("count", count)
          }
        }
      }
    }
    return .json(writer.bytes)
  }
}
