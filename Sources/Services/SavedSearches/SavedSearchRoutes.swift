import Crypto
import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Time

/// `/saved-searches`: save searches, run them, see what they have found.
struct SavedSearchRoutes: Sendable {
  private let lists: AggregateStore<SearchList>
  private let hits: AggregateStore<SearchHit>
  private let documents: AggregateStore<Document>
  private let types: AggregateStore<DocumentType>
  private let service: SearchService

  private static let page = 100

  init(_ store: EventStore, _ service: SearchService) {
    (lists, hits, documents) = (AggregateStore(store), AggregateStore(store), AggregateStore(store))
    (types, self.service) = (AggregateStore(store), service)
  }

  private static let search = Input<UUID>(path: "search", "The search's id.")

  var group: RouteGroup {
    RouteGroup(
      "Saved searches",
      routes: [
        Route(
          .get, "/saved-searches", "The caller's saved searches.", right: .identified,
          answers: [Answer(200, "The searches.", schema: .object([.init("searches", .array(Self.schema))]))]
        ) { request in
          let searches = try await lists.load(Self.list(of: request.caller)).state?.searches ?? []
          var writer = JSONWriter(reserving: 2_048)
          writer.object { writer in
            writer.array("searches", of: searches) { $1.write(&$0) }
          }
          return .json(writer.bytes)
        },
        Route(
          .post, "/saved-searches",
          "Save a search. It is run on every document that changes from now on; the first time that it finds one is a hit.",
          right: .identified,
          body: .fields(
            limit: 16_384, example: #"{"name": "Unpaid invoices", "query": {"type": "invoice", "where": "state=open"}}"#
          ),
          answers: [Answer(201, "The search.", schema: Self.schema)],
          Input<String>(
            field: "name", schema: .string(minLength: 1, maxLength: SearchList.maximumName), "How it is called."),
          Input<SavedQuery>(field: "query", "Parameters of `/search`, by name."), IdempotencyKey.input, handler: save),
        Route(
          .delete, "/saved-searches/{search}", "Delete a saved search. Its hits stay in the log.", right: .identified,
          answers: [Answer(204, "Deleted.")], Self.search
        ) { request, id in
          _ = try await lists.execute(
            .remove(id: id, at: .now()), on: Self.list(of: request.caller), metadata: request.metadata())
          return Response(204)
        },
        Route(
          .get, "/saved-searches/{search}/hits", "Documents that a saved search has found, the oldest document first.",
          right: .identified, answers: [Answer(200, "A page of hits.", schema: Self.hitsSchema)], Self.search,
          Input<UUID?>(query: "after", "Go on after this document: `next` of the page before."), handler: hits),
      ])
  }

  private static let schema = JSONSchema.named(
    "SavedSearch",
    .object([
      .init("id", .string(format: "uuid")), .init("name", .string()), .init("query", SavedQuery.schema),
      .init("created_at", .string(format: "date-time")),
    ]))

  private static let hitsSchema = JSONSchema.object([
    .init(
      "hits",
      .array(
        .object([
          .init("document_id", .string(format: "uuid")), .init("title", .string(), "As it is now."),
          .init("document_version", .integer, "The version that was found."),
          .init("found_at", .string(format: "date-time")),
        ]))),
    .init("next", .nullable(.string(format: "uuid")), "null on the last page."),
  ])

  private static func list(of caller: Caller) -> String { OwnersList.id(of: caller.owner) }

  @Sendable
  private func save(
    _ request: Request, _ name: String, _ query: SavedQuery, _ key: IdempotencyKey?
  ) async throws -> Response {
    let caller = request.caller
    var definition: DocumentType?
    if let type = query.type { definition = try await types.load(type.text).state }
    _ = try query.search(for: caller, definition)
    let metadata = request.metadata()
    let keyed = KeyedRequest(
      key, request, actor: metadata.actor, [name, JSONValue.object(query.values).description])
    return try await lists.store.once(keyed) {
      let id = UUID.version7()
      let reader = caller.standingRights(forAll: caller.seesAll)
      let once = keyed.map { keyed in
        Once<SearchList>(keyed.key, request: keyed.request) { list in
          list?.search(id).map { Self.saved($0).bytes } ?? Array("null".utf8)
        }
      }
      let owner = caller.owner
      let list = try await lists.execute(
        .save(id: id, name: name, query: query.values, owner: owner, reader: reader, at: .now()),
        on: OwnersList.id(of: owner), metadata: metadata, once: once)
      guard let search = list?.search(id) else { throw SearchListRefusal.notFound }
      return Self.saved(search).response
    }
  }

  private static func saved(_ search: SearchList.Search) -> KeptAnswer {
    var writer = JSONWriter()
    search.write(&writer)
    return KeptAnswer(201, headers: [("Location", "/v1/saved-searches/\(search.id)/hits")], body: writer.bytes)
  }

  @Sendable
  private func hits(_ request: Request, _ id: UUID, _ after: UUID?) async throws -> Response {
    let caller = request.caller
    guard try await lists.load(Self.list(of: caller)).state?.search(id) != nil else { throw SearchListRefusal.notFound }
    // Those of one search lie together.
    let prefix = "\(id)."
    let last = SearchHit.stream(after.map { SearchHit.id(id, $0) } ?? prefix)
    let streams = try await hits.store.streams(of: SearchHit.category, after: last, limit: Self.page)
      .prefix { $0.id.hasPrefix(prefix) }
    var shown: [(hit: SearchHit, title: String)] = []
    for stream in streams {
      guard let hit = try await hits.load(stream.id).state,
        let document = try await documents.load(hit.document.description).state, !document.isDeleted,
        caller.seesAll || caller.permissions(on: document).contains(.view)
      else { continue }
      shown.append((hit, document.title))
    }
    var writer = JSONWriter(reserving: 4_096)
    writer.object { writer in
      writer.objects("hits", of: shown) { writer, entry in
        let (hit, title) = entry
        writer.member("document_id", hit.document.description)
        writer.member("title", title)
        writer.member("document_version", hit.documentVersion.value)
        writer.member("found_at", hit.at.description)
      }
      let end = streams.count == Self.page ? streams.last.map { String($0.id.dropFirst(prefix.count)) } : nil
      writer.member("next", orNull: end)
    }
    return .json(writer.bytes)
  }
}
