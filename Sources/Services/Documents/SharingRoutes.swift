public import Domain
import Events
import HTTPServer
import Identifiers
import JSON
import Time

/// `/documents/{id}/shares`: with whom a document is shared.
struct SharingRoutes: Sendable {
  private let documents: DocumentService

  init(_ documents: DocumentService) { self.documents = documents }

  var group: RouteGroup {
    RouteGroup(
      "Sharing",
      routes: [
        Route(
          .get, "/documents/{id}/shares", "With whom a document is shared.", right: .audit,
          answers: [Answer(200, "The shares.", schema: Self.listSchema)], DocumentInputs.id
        ) { _, id in
          Self.answer(try await documents.existing(id))
        },
        Route(
          .put, "/documents/{id}/shares/{with}", "Share a document, or change how it is shared with somebody.",
          right: .own,
          body: .fields(limit: 65_536, example: #"{"rights": ["view", "sign"], "until": "2027-01-31T00:00:00Z"}"#),
          answers: [Answer(200, "All shares of the document.", schema: Self.listSchema)], DocumentInputs.id, Self.with,
          Input<SharedRights>(field: "rights", "Some of view, change, sign. Whoever may change or sign may view."),
          Input<Timestamp?>(optional: "until", "When it ends; missing: it does not."), DocumentInputs.ifMatch
        ) { request, id, grantee, rights, until, tag in
          let share = Share(with: grantee, rights.permissions, until: until)
          return Self.answer(
            try await documents.share(id, share, expecting: tag?.version, metadata: request.metadata()))
        },
        Route(
          .delete, "/documents/{id}/shares/{with}", "Take a share back.", right: .own,
          answers: [Answer(200, "The shares that are left.", schema: Self.listSchema)], DocumentInputs.id, Self.with,
          DocumentInputs.ifMatch
        ) { request, id, grantee, tag in
          Self.answer(
            try await documents.unshare(id, grantee, expecting: tag?.version, metadata: request.metadata()))
        },
      ])
  }

  private static let with = Input<Grantee>(path: "with", "`user:` and a token's sub or email, or `group:` and a group.")

  private static let listSchema = JSONSchema.object([
    .init("document_id", .string(format: "uuid")),
    .init("owner", .string(), "Who created it: may do everything with it."),
    .init("shares", .array(Document.shareSchema)),
  ])

  private static func answer(_ document: Document) -> Response {
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("document_id", document.id.description)
      writer.member("owner", document.createdBy)
      writer.array("shares", of: document.shares) { $1.write(&$0) }
    }
    return .json(writer.bytes, headers: DocumentRoutes.headers(of: document))
  }
}

extension Grantee: InputValue {
  public static var schema: JSONSchema { .string(pattern: "^(user|group):.+$") }
}

/// Rights that are shared.
private struct SharedRights: InputValue {
  let permissions: Permissions

  static let schema = JSONSchema.array(.string(values: Permissions.shareable.map(\.name)))

  init(json: JSONValue) throws(JSONError) {
    guard let values = json.array else { throw JSONError(.wrongType(expected: "array", found: json.kind)) }
    guard let permissions = Permissions(names: values.map { $0.string ?? "" }) else {
      throw JSONError(
        .invalid(
          String(json.description.prefix(80)),
          remedy: "one or more of \(Permissions.shareable.map(\.name).joined(separator: ", "))"))
    }
    self.permissions = permissions
  }
}
