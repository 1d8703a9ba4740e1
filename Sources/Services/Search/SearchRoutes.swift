import Crypto
import Domain
public import HTTPServer
import JSON

/// `/search`, `/aggregations` and the list of documents.
public struct SearchRoutes: Sendable {
  private let search: SearchService

  public init(_ search: SearchService) { self.search = search }

  public func add(to router: inout Router, prefix: String) {
    router.on(.get, "\(prefix)/search", find)
    router.on(.get, "\(prefix)/documents", list)
    router.on(.get, "\(prefix)/aggregations/:field", aggregate)
  }

  @Sendable
  private func find(_ request: Request) async throws -> Response {
    try request.requireQuery(only: "q", "status", "created_by", "from", "size")
    let from = try request.query("from", default: 0, in: 0...9_900)
    let size = try request.query("size", default: 10, in: 1...100)
    let page = try await search.search(
      request.query("q") ?? "", try filter(request), from: from, size: size)
    var writer = JSONWriter(reserving: 8_192)
    writer.object { writer in
      writer.member("total", page.total)
      writer.member("took_ms", page.took)
      writer.name("hits")
      writer.array { writer in
        for hit in page.hits {
          writer.element()
          writer.object {
            $0.name("document")
            $0.splice(hit.row)
            $0.member("score", hit.score)
            $0.member("highlights", hit.highlights)
          }
        }
      }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func list(_ request: Request) async throws -> Response {
    try request.requireQuery(only: "status", "created_by", "content_type", "limit", "cursor")
    let limit = try request.query("limit", default: 20, in: 1...100)
    let after = try request.query("cursor").map(Cursor.read)
    let page = try await search.list(try filter(request), after: after, size: limit)
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
      writer.member("next_cursor", orNull: page.hits.count < limit ? nil : page.hits.last.map { Cursor.text($0.sort) })
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func aggregate(_ request: Request) async throws -> Response {
    let field = request.parameters["field"] ?? ""
    guard let (_, aggregation) = SearchService.aggregations.first(where: { $0.field == field }) else {
      let known = SearchService.aggregations.map(\.field).joined(separator: ", ")
      throw Problem(
        400, "Unknown field", detail: "documents cannot be counted by “\(field)”; known are \(known)", field: "field")
    }
    let values = try await search.aggregate(aggregation)
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("field", field)
      writer.name("values")
      writer.array { writer in
        for (value, count) in values {
          writer.element()
          writer.object {
            $0.member("value", value)
            $0.member("count", count)
          }
        }
      }
    }
    return .json(writer.bytes)
  }

  private func filter(_ request: Request) throws(Problem) -> SearchService.Filter {
    SearchService.Filter(
      status: try request.status(), createdBy: request.query("created_by"),
      contentType: request.query("content_type"))
  }
}

/// A place in a list, as clients carry it: JSON in hexadecimal.
enum Cursor {
  static func text(_ sort: JSONValue) -> String { sort.bytes.hexadecimal }

  static func read(_ text: String) throws(Problem) -> JSONValue {
    let problem = Problem(
      400, "Malformed cursor", detail: "“\(text.prefix(80))” is no cursor; use next_cursor of an earlier answer",
      field: "cursor")
    guard text.utf8.count.isMultiple(of: 2), text.utf8.count <= 1_024 else { throw problem }
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while !rest.isEmpty {
      guard let byte = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { throw problem }
      bytes.append(byte)
      rest = rest.dropFirst(2)
    }
    do {
      let value = try JSONValue(parsing: bytes)
      guard let parts = value.array, parts.count == 2, parts[0].integer != nil, parts[1].string != nil else {
        throw problem
      }
      return value
    } catch { throw problem }
  }
}
