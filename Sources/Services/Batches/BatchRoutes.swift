import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import JSON
import Time

/// `/batches`: change many documents, see how far it is, take it back.
struct BatchRoutes: Sendable {
  private let store: EventStore
  private let due: DueTimes

  /// Failures in an answer.
  private static let named = 1_000
  /// Documents whose rights are looked at together.
  private static let width = 32

  init(_ store: EventStore) { (self.store, due) = (store, DueTimes(store, category: Batch.category)) }

  private static let batch = Input<UUID>(path: "batch", "The batch's id.")

  var group: RouteGroup {
    let answer = Answer(200, "The batch.", schema: Self.schema)
    return RouteGroup(
      "Batches",
      routes: [
        Route(
          .post, "/batches",
          "Change many documents, one after the other: each by itself, as far as it may be. Needs the right to change each.",
          right: .create,
          body: .fields(
            limit: 1 << 20,
            example: #"{"documents": ["01890a5d-ac96-774b-bcce-b302099a8057"], "add_tags": ["archived"]}"#),
          answers: [Answer(202, "The batch, which has begun.", schema: Self.schema)],
          Input<DocumentList>(field: "documents", "Their ids: 1 to \(Batch.maximumDocuments)."),
          Input<DocumentStatus?>(optional: "status", "The status that they get."),
          Input<TagList?>(optional: "add_tags", "Tags that they get beside those that they have."),
          Input<TagList?>(optional: "remove_tags", "Tags that they lose."),
          Input<TypeName?>(optional: "type", "The type whose fields are set. With set_type documents get it."),
          Input<Bool?>(optional: "set_type", "Documents of another type, or of none, get the type."),
          Input<FieldValues?>(optional: "fields", "Values that they get; null takes one away."),
          IdempotencyKey.input, handler: start),
        Route(
          .get, "/batches/{batch}", "How far a batch is, and what failed. For those who began it, and for admins.",
          right: .create, answers: [answer], Self.batch
        ) { request, id in
          .json(try await batch(id, request).rowImage(failures: Self.named))
        },
        Route(
          .post, "/batches/{batch}/undo",
          "Take a batch back, as a batch of its own: documents that were changed since stay as they are.",
          right: .create, body: .fields(limit: 8_192, example: #"{}"#),
          answers: [Answer(202, "The batch that takes it back.", schema: Self.schema)], Self.batch, handler: undo),
      ])
  }

  private static let schema = JSONSchema.named(
    "Batch",
    .object([
      .init("id", .string(format: "uuid")), .init("status", .string(values: Batch.Status.allCases.map(\.rawValue))),
      .init("documents", .integer, "How many there are."), .init("done", .integer, "How many were worked on."),
      .init("changed", .integer), .init("failed", .integer),
      .init("set_status", .nullable(.string()), isRequired: false),
      .init("add_tags", .array(.string()), isRequired: false),
      .init("remove_tags", .array(.string()), isRequired: false),
      .init("type", .string(), isRequired: false), .init("set_type", .boolean, isRequired: false),
      .init("fields", FieldValues.schema, isRequired: false),
      .init("undoes", .nullable(.string(format: "uuid"))), .init("undone_by", .nullable(.string(format: "uuid"))),
      .init("created_by", .string()), .init("created_at", .string(format: "date-time")),
      .init("finished_at", .nullable(.string(format: "date-time"))),
      .init(
        "failures",
        .array(.object([.init("document_id", .string(format: "uuid")), .init("problem", .string())])),
        isRequired: false,
        "The first \(named)."), .init("version", .integer),
    ]))

  @Sendable
  private func start(
    _ request: Request, _ documents: DocumentList, _ status: DocumentStatus?, _ add: TagList?, _ remove: TagList?,
    _ type: TypeName?, _ setsType: Bool?, _ values: FieldValues?, _ key: IdempotencyKey?
  ) async throws -> Response {
    let metadata = request.metadata()
    let fields = try Self.fields(type, setsType ?? false, values)
    let change = BatchChange.edit(status: status, add: add?.tags ?? [], remove: remove?.tags ?? [], fields: fields)
    let keyed = KeyedRequest(
      key, request, actor: metadata.actor,
      [status?.rawValue] + (add?.tags ?? []) + [nil] + (remove?.tags ?? []) + [nil]
        + (fields.map { [$0.type, "\($0.setsType)", JSONValue.object($0.values).description, nil] } ?? [])
        + documents.ids.map(\.description))
    return try await store.once(keyed) {
      if let fields { try await check(fields) }
      let (id, now) = (UUID.version7(), Timestamp.now())
      let command = BatchCommand.start(
        id: id, documents: documents.ids, change: change,
        starter: request.caller.standingRights(forAll: Right.change.isGiven(to: request.caller.roles)),
        by: metadata.actor,
        at: now)
      _ = try Batch.decide(command, nil)
      try await mayChange(documents.ids, request)
      try await due.note(id.description, at: now)
      let once = keyed.map { keyed in
        Once<Batch>(keyed.key, request: keyed.request) { $0.map { Self.accepted($0).bytes } ?? Array("null".utf8) }
      }
      let batch = try await AggregateStore<Batch>(store).create(
        id.description, command, metadata: metadata, once: once)
      return Self.accepted(batch).response
    }
  }

  private static func fields(
    _ type: TypeName?, _ setsType: Bool, _ values: FieldValues?
  ) throws(Problem) -> BatchFields? {
    guard let type else {
      guard values == nil, !setsType else {
        throw Problem(422, "Invalid body", detail: "fields belong to a type: send type too", field: "/type")
      }
      return nil
    }
    return BatchFields(type: type.text, setsType: setsType, values?.values ?? JSONObject())
  }

  /// Looks at the fields as far as that can be without a document.
  private func check(_ fields: BatchFields) async throws {
    let change = FieldsChange(
      by: try await TypeReader(store).definition(fields.type), setsType: fields.setsType, fields.values)
    do { _ = try change.checked() } catch { throw DocumentRefusal.field(error) }
  }

  /// - Throws: A problem that names the first document that the caller may not change.
  private func mayChange(_ ids: [UUID], _ request: Request) async throws {
    guard let access = request.access else { return }
    var rest = ids[...]
    while !rest.isEmpty {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for id in rest.prefix(Self.width) {
          group.addTask {
            do { try await access.require(.change, on: id, for: request.caller) } catch DocumentRefusal.notFound {
              throw Problem(404, "Not found", detail: "there is no document \(id)", field: "/documents")
            } catch let problem as Problem where problem.status == 403 {
              throw Problem(403, "Forbidden", detail: "document \(id): \(problem.detail)", field: "/documents")
            }
          }
        }
        try await group.waitForAll()
      }
      rest = rest.dropFirst(Self.width)
    }
  }

  private static func accepted(_ batch: Batch) -> KeptAnswer {
    KeptAnswer(202, headers: [("Location", "/v1/batches/\(batch.id)")], body: batch.rowImage(failures: named))
  }

  /// A batch of the caller's, or any for an admin.
  private func batch(_ id: UUID, _ request: Request) async throws -> Batch {
    guard let batch = try await AggregateStore<Batch>(store).load(id.description).state,
      request.caller.isAdmin || request.caller.isCalled(batch.createdBy)
    else { throw BatchRefusal.notFound }
    return batch
  }

  @Sendable
  private func undo(_ request: Request, _ id: UUID) async throws -> Response {
    let original = try await batch(id, request)
    let documents = original.results.filter { $0.version != nil }.map(\.document)
    // Whether each may be changed is looked at when it is.
    let (new, now, metadata) = (UUID.version7(), Timestamp.now(), request.metadata())
    let command = BatchCommand.start(
      id: new, documents: documents, change: .undo(id),
      starter: request.caller.standingRights(forAll: Right.change.isGiven(to: request.caller.roles)),
      by: metadata.actor,
      at: now)
    _ = try Batch.decide(.undo(by: new, at: now), original)
    _ = try Batch.decide(command, nil)
    try await due.note(new.description, at: now)
    let batch = try await store.together(metadata: metadata) { unit in
      let loaded = try await unit.load(id.description, Batch.self)
      try unit.execute(.undo(by: new, at: now), on: id.description, loaded)
      guard let batch = try unit.execute(command, on: new.description, nil, as: Batch.self) else {
        throw BatchRefusal.exists
      }
      return batch
    }
    return Self.accepted(batch).response
  }
}

/// Ids of documents.
private struct DocumentList: InputValue {
  let ids: [UUID]

  static let schema = JSONSchema.array(.string(format: "uuid"))

  init(json: JSONValue) throws(JSONError) {
    guard let values = json.array else { throw JSONError(.wrongType(expected: "array", found: json.kind)) }
    guard values.count <= Batch.maximumDocuments else {
      throw JSONError(.invalid("\(values.count) ids", remedy: "at most \(Batch.maximumDocuments)"))
    }
    var ids: [UUID] = []
    for value in values { ids.append(try UUID(json: value)) }
    self.ids = ids
  }
}
