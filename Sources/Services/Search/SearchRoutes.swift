import Identifiers
import Time
import Domain
import EventStore
import HTTPServer
import JSON

/// `/search`, `/aggregations` and the list of documents.
struct SearchRoutes: Sendable {
  private let search: SearchService
  private let readers: ViewReaders
  private let documents: AggregateStore<Document>
  private let types: AggregateStore<DocumentType>

  private static let maximumTyped = 200

  private let sealKey: @Sendable (Bool) async throws -> [UInt8]
  private let walks: BegunWalks

  /// - Parameter sealKey: Of cursors. True: looked up again.
  init(
    _ search: SearchService, _ readers: ViewReaders, _ store: EventStore, walks: BegunWalks,
    sealKey: @escaping @Sendable (Bool) async throws -> [UInt8]
  ) {
    (self.search, self.readers, documents) = (search, readers, AggregateStore(store))
    types = AggregateStore(store)
    (self.walks, self.sealKey) = (walks, sealKey)
  }

  var group: RouteGroup {
    RouteGroup(
      "Search",
      routes: [
        Route(
          .get, "/search", "Full-text search over title, content and author, best first.", right: .identified,
          answers: [Answer(200, "A page of hits.", schema: Self.pageSchema)],
          Input<SearchText?>(query: "q", SearchText.meaning),
          Input<SearchFields?>(query: "fields", SearchFields.meaning),
          Self.status, Self.createdBy, Self.tag, Self.createdFrom, Self.createdBefore, Self.updatedFrom,
          Self.updatedBefore,
          Self.type, Self.conditions,
          Input<SearchOrder?>(query: "sort", SearchOrder.meaning),
          Input(query: "from", default: 0, in: 0...9_900, "Hits to leave out."),
          Input<String?>(
            query: "cursor", schema: .string(maxLength: SearchCursor.maximumLength),
            "Empty: begins a way through all hits, however many, as they are now. Then `next_cursor` of the answer before."
          ),
          Input(query: "size", default: 10, in: 1...100, "The most hits in the answer."),
          Input(query: "mode", default: "keyword", oneOf: ["keyword"], "The kind of search."), AtLeast.header,
          AtLeast.query, handler: find),
        Route(
          .get, "/suggestions", "Titles that go on with what was typed so far.", right: .identified,
          answers: [Answer(200, "Documents by their titles, best first.", schema: Self.suggestionsSchema)],
          Input<String?>(query: "q", schema: .string(maxLength: Self.maximumTyped), "What was typed."),
          Input(query: "size", default: 5, in: 1...20, "The most titles in the answer."), AtLeast.header, AtLeast.query,
          handler: suggest),
        Route(
          .get, "/documents/{id}/similar", "Documents with the words of another one, the most alike first.",
          right: .view,
          answers: [Answer(200, "A page of hits.", schema: Self.pageSchema)], DocumentInputs.id,
          Input(query: "size", default: 10, in: 1...50, "The most hits in the answer."), AtLeast.header, AtLeast.query,
          handler: similar),
        Route(
          .get, "/documents", "List documents, newest first.", right: .identified,
          answers: [Answer(200, "A page of documents.", schema: Self.listSchema)],
          Self.status, Self.createdBy, Self.tag, Self.type, Self.conditions,
          Input<String?>(query: "content_type", "Only documents of this media type."),
          Input(query: "limit", default: 20, in: 1...100, "The most documents in the answer."),
          Input<Cursor?>(query: "cursor", "`next_cursor` of an earlier answer."), AtLeast.header, AtLeast.query,
          handler: list),
        Route(
          .get, "/aggregations/{field}", "Count documents by the values of a field.", right: .identified,
          answers: [Answer(200, "Values and counts, most frequent first; days in order.", schema: Self.countsSchema)],
          Input(path: "field", oneOf: SearchService.aggregations.map(\.field), "The field."), AtLeast.header,
          AtLeast.query, handler: aggregate),
        Route(
          .get, "/document-types/{type}/fields/{field}/values", "Count documents of a type by the values of a field.",
          right: .identified,
          answers: [Answer(200, "Values and counts, or sums; months for days.", schema: Self.valuesSchema)],
          Input<TypeName>(path: "type", "The type."), Input<TypeName>(path: "field", "The field's name."),
          AtLeast.header, AtLeast.query, handler: values),
      ])
  }

  private static let status = Input<DocumentStatus?>(query: "status", "Only documents with this status.")
  private static let tag = Input<String?>(query: "tag", "Only documents with this tag.")
  private static let type = Input<TypeName?>(query: "type", "Only documents of this type.")
  private static let conditions = Input<String?>(
    query: "where", schema: .string(maxLength: FieldCondition.maximumText), FieldCondition.meaning)
  private static let createdFrom = Input<Timestamp?>(query: "created_from", "Only documents created from this time on.")
  private static let createdBefore = Input<Timestamp?>(
    query: "created_before", "Only documents created before this time.")
  private static let updatedFrom = Input<Timestamp?>(query: "updated_from", "Only documents changed from this time on.")
  private static let updatedBefore = Input<Timestamp?>(
    query: "updated_before", "Only documents last changed before this time.")
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
    .init(
      "next_cursor", .nullable(.string()), isRequired: false, "Where a cursor was asked for: null on the last page."),
  ])

  private static let listSchema = JSONSchema.object([
    .init("total", .integer), .init("documents", .array(Document.schema)),
    .init("next_cursor", .nullable(.string()), "null on the last page."),
  ])

  private static let countsSchema = JSONSchema.object([
    .init("field", .string()),
    .init("values", .array(.object([.init("key", .any), .init("count", .integer)]))),
  ])

  private static let valuesSchema = JSONSchema.object([
    .init("type", .string()), .init("field", .string()), .init("kind", .string()),
    .init(
      "values", .array(.object([.init("key", .any), .init("count", .integer)])), isRequired: false,
      "Of texts, selects, links and booleans the most frequent first; of days by month."),
    .init(
      "sums",
      .array(
        .object([
          .init("currency", .nullable(.string())), .init("count", .integer), .init("sum", .nullable(.number)),
          .init("minimum", .number), .init("maximum", .number),
        ])), isRequired: false, "Of numbers and money; of money one for each currency."),
  ])

  @Sendable
  private func values(
    _ request: Request, _ type: TypeName, _ name: TypeName, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    guard let definition = try await types.load(type.text).state else { throw DocumentTypeRefusal.notFound }
    guard let kind = definition.kinds[name.text] else {
      throw Problem(
        404, "Not found",
        detail: "the type has no field \(name.text): it has \(definition.kinds.keys.sorted().joined(separator: ", "))",
        field: "field")
    }
    try await readers.wait(for: header, query, request)
    var filter = SearchService.Filter(for: request.caller)
    filter.type = type.text
    let counted = try await search.values(of: name.text, kind, filter)
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("type", type.text)
      writer.member("field", name.text)
      writer.member("kind", kind.rawValue)
      writer.member(kind == .number || kind == .money ? "sums" : "values", counted)
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func find(
    _ request: Request, _ text: SearchText?, _ fields: SearchFields?, _ status: DocumentStatus?, _ createdBy: String?,
    _ tag: String?, _ createdFrom: Timestamp?, _ createdBefore: Timestamp?, _ updatedFrom: Timestamp?,
    _ updatedBefore: Timestamp?, _ type: TypeName?, _ conditions: String?,
    _ sort: SearchOrder?, _ from: Int, _ cursor: String?, _ size: Int, _ mode: String, _ header: AtLeast?,
    _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query, request)
    var text = text ?? SearchText()
    if let fields { text.fields = fields.names }
    var filter = SearchService.Filter(status: status, createdBy: createdBy, for: request.caller)
    filter.tag = tag
    (filter.type, filter.conditions) = (type?.text, try await self.conditions(conditions, on: type))
    (filter.created, filter.updated) = ((createdFrom, createdBefore), (updatedFrom, updatedBefore))
    guard let cursor else {
      let page = try await search.search(text, filter, sort: sort ?? .score, from: from, size: size)
      return try Self.answer(page, from: from, size: size, to: request.caller)
    }
    guard from == 0 else {
      throw Problem(400, "Malformed query", detail: "from and cursor exclude each other", field: "from")
    }
    var (key, place) = (try await sealKey(false), SearchCursor?.none)
    if cursor.isEmpty {
      try await walks.begin(request)
    } else {
      place = SearchCursor(cursor, key)
      if place == nil {
        key = try await sealKey(true)
        place = SearchCursor(cursor, key)
      }
      guard place != nil else { throw SearchCursor.problem }
    }
    let (page, next) = try await search.walk(text, filter, sort: sort ?? .score, from: place, size: size)
    return try Self.answer(page, from: 0, size: size, next: .some(next?.sealed(key)), to: request.caller)
  }

  /// Reads conditions by the fields that the type has.
  private func conditions(_ text: String?, on type: TypeName?) async throws -> [FieldCondition] {
    guard let text, !text.isEmpty else { return [] }
    guard let type else {
      throw Problem(400, "Malformed query", detail: "fields belong to a type: send type too", field: "type")
    }
    guard let definition = try await types.load(type.text).state else {
      throw Problem(400, "Malformed query", detail: "there is no type of documents “\(type.text)”", field: "type")
    }
    return try FieldCondition.read(text, of: definition)
  }

  @Sendable
  private func suggest(
    _ request: Request, _ text: String?, _ size: Int, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    guard (text?.utf8.count ?? 0) <= Self.maximumTyped else {
      throw Problem(
        400, "Malformed query", detail: "at most \(Self.maximumTyped) bytes can be gone on with", field: "q")
    }
    try await readers.wait(for: header, query, request)
    let hits =
      text?.isEmpty == false ? try await search.suggest(text ?? "", .init(for: request.caller), size: size).hits : []
    var writer = JSONWriter()
    writer.object { writer in
      writer.array("suggestions", of: hits) { $0.splice($1.row) }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func similar(
    _ request: Request, _ id: UUID, _ size: Int, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    guard let document = try await documents.load(id.description).state else { throw DocumentRefusal.notFound }
    guard !document.isDeleted else { throw DocumentRefusal.deleted }
    try await readers.wait(for: header, query, request)
    let page = try await search.similar(to: id.description, .init(for: request.caller), size: size)
    return try Self.answer(page, from: 0, size: size, to: request.caller)
  }

  private static let suggestionsSchema = JSONSchema.object([
    .init(
      "suggestions", .array(.object([.init("id", .string(format: "uuid")), .init("title", .string())])))
  ])

  /// - Parameter next: The cursor behind the page, if one was asked for.
  private static func answer(
    _ page: SearchService.Page, from: Int, size: Int, next: String?? = nil, to caller: Caller
  ) throws -> Response {
    let rows = try page.hits.map { try caller.shown($0.row) }
    var writer = JSONWriter(reserving: 8_192)
    writer.object { writer in
      writer.member("total", page.total)
      writer.objects("documents", of: zip(page.hits, rows)) { writer, entry in
        let (hit, row) = entry
        // The members of the row, then those of the hit.
        writer.spliceMembers(of: row)
        // It tells how many documents have a word, hidden ones too.
        writer.member("score", caller.seesAll ? hit.score : .null)
        writer.member("highlights", hit.highlights)
      }
      writer.member("took_ms", page.took)
      writer.member("from", from)
      writer.member("size", size)
      if let next { writer.member("next_cursor", orNull: next) }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func list(
    _ request: Request, _ status: DocumentStatus?, _ createdBy: String?, _ tag: String?, _ type: TypeName?,
    _ conditions: String?, _ contentType: String?, _ limit: Int,
    _ cursor: Cursor?, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query, request)
    var filter = SearchService.Filter(
      status: status, createdBy: createdBy, contentType: contentType, for: request.caller)
    filter.tag = tag
    (filter.type, filter.conditions) = (type?.text, try await self.conditions(conditions, on: type))
    let page = try await search.list(
      filter, after: cursor?.sort,
      size: limit)
    let rows = try page.hits.map { try request.caller.shown($0.row) }
    var writer = JSONWriter(reserving: 8_192)
    writer.object { writer in
      writer.member("total", page.total)
      writer.array("documents", of: rows) { $0.splice($1) }
      writer.member(
        "next_cursor", orNull: page.hits.count < limit ? nil : page.hits.last.map { Cursor(sort: $0.sort).text })
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func aggregate(
    _ request: Request, _ field: String, _ header: AtLeast?, _ query: AtLeast?
  ) async throws -> Response {
    try await readers.wait(for: header, query, request)
    guard let (_, aggregation) = SearchService.aggregations.first(where: { $0.field == field }) else {
      throw Problem.internalError
    }
    let values = try await search.aggregate(aggregation, .init(for: request.caller))
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("field", field)
      writer.objects("values", of: values) { writer, entry in
        let (value, count) = entry
        writer.member("key", value)
        writer.member("count", count)
      }
    }
    return .json(writer.bytes)
  }
}
