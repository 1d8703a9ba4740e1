import Domain
import EventStore
import Events
import HTTPServer
import JSON
import Time

/// `/document-types`: define and read types of documents.
struct TypeRoutes: Sendable {
  private let types: AggregateStore<DocumentType>

  /// Types in one answer: an installation has some, not thousands.
  private static let most = 1_000

  init(_ store: EventStore) { types = AggregateStore(store) }

  private static let type = Input<TypeName>(path: "type", "The type's name.")

  var group: RouteGroup {
    RouteGroup(
      "Document types",
      routes: [
        Route(
          .get, "/document-types", "The types of documents, by their names.", right: .identified,
          answers: [Answer(200, "The types.", schema: .object([.init("types", .array(Self.schema))]))], handler: list),
        Route(
          .get, "/document-types/{type}", "A type and its fields, now or by an earlier definition.", right: .identified,
          answers: [Answer(200, "The type.", schema: Self.schema)], Self.type,
          Input<Int64?>(query: "type_version", "The definition, as documents name it; the newest if it is missing."),
          handler: read),
        Route(
          .put, "/document-types/{type}",
          "Define a type of documents, or define it anew. Documents keep the values that they have.", right: .operate,
          body: .fields(
            limit: 262_144,
            example: #"{"title": "Invoice", "fields": [{"name": "total", "kind": "money", "required": true}]}"#),
          answers: [Answer(200, "The type.", schema: Self.schema)], Self.type,
          Input<String>(
            field: "title", schema: .string(minLength: 1, maxLength: DocumentType.maximumTitle),
            "How it is called where people see it."),
          Input<FieldList>(
            field: "fields",
            "All fields that documents of it may have from now on. A name keeps its kind for ever."),
          DocumentInputs.ifMatch, handler: define),
        Route(
          .delete, "/document-types/{type}", "Retire a type: documents that have it keep it, no other gets it.",
          right: .operate, answers: [Answer(200, "The type.", schema: Self.schema)], Self.type, DocumentInputs.ifMatch
        ) { request, name, tag in
          let type = try await types.execute(
            .retire(at: .now()), on: name.text, expecting: tag?.version, metadata: request.metadata())
          return try Self.answer(type)
        },
      ])
  }

  private static let schema = JSONSchema.named(
    "DocumentType",
    .object([
      .init("name", .string()), .init("title", .string()), .init("fields", FieldList.schema),
      .init("retired", .boolean, "No document gets it any more."), .init("created_at", .string(format: "date-time")),
      .init("updated_at", .string(format: "date-time")),
      .init("type_version", .integer, "How often it was defined: documents name the definition that they fit."),
      .init("version", .integer, "The number of the last event; also the ETag."),
    ]))

  @Sendable
  private func list(_ request: Request) async throws -> Response {
    var rows: [[UInt8]] = []
    for stream in try await types.store.streams(of: DocumentType.category, limit: Self.most) {
      if let type = try await types.load(stream.id).state { rows.append(type.rowImage) }
    }
    var writer = JSONWriter(reserving: 4_096)
    writer.object { writer in
      writer.array("types", of: rows) { $0.splice($1) }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func read(_ request: Request, _ name: TypeName, _ definition: Int64?) async throws -> Response {
    guard let type = try await types.load(name.text).state else { throw DocumentTypeRefusal.notFound }
    guard let definition, definition != type.definition else { return try Self.answer(type) }
    let missing = Problem(
      404, "Not found", detail: "the type has no definition \(definition): it has 1 to \(type.definition)",
      field: "type_version")
    guard definition > 0, definition < type.definition else { throw missing }
    // The first version of the stream that has it: retiring is a version too, and no definition.
    var (low, high) = (definition, type.version.value)
    while low < high {
      let middle = (low + high) / 2
      let then = try await types.load(name.text, asOf: .version(StreamVersion(middle))).state
      if then?.definition ?? 0 < definition { low = middle + 1 } else { high = middle }
    }
    return try Self.answer(try await types.load(name.text, asOf: .version(StreamVersion(low))).state)
  }

  @Sendable
  private func define(
    _ request: Request, _ name: TypeName, _ title: String, _ fields: FieldList, _ tag: EntityTag?
  ) async throws -> Response {
    let type = try await types.execute(
      .define(name: name.text, title: title, fields: fields.fields, at: .now()), on: name.text,
      expecting: tag?.version, metadata: request.metadata())
    return try Self.answer(type)
  }

  private static func answer(_ type: DocumentType?) throws -> Response {
    guard let type else { throw DocumentTypeRefusal.notFound }
    return .json(
      type.rowImage,
      headers: [
        ("ETag", "\"\(type.version)\""), ReadToken(DocumentType.stream(type.name), type.version).field,
      ])
  }
}
