import Domain
import HTTPServer
import JSON
import Time

/// What a saved search looks for: parameters of `/search`, by name.
struct SavedQuery: InputValue {
  let values: JSONObject
  private let text: SearchText
  private let status: DocumentStatus?
  private let createdBy: String?
  private let contentType: String?
  private let tag: String?
  let type: TypeName?
  private let conditions: String?
  private let created: (from: Timestamp?, before: Timestamp?)
  private let updated: (from: Timestamp?, before: Timestamp?)

  private static let beginnings = 5

  static let schema = JSONSchema.object([
    .init("q", SearchText.schema, isRequired: false), .init("fields", SearchFields.schema, isRequired: false),
    .init("status", DocumentStatus.schema, isRequired: false), .init("created_by", .string(), isRequired: false),
    .init("content_type", .string(), isRequired: false), .init("tag", .string(), isRequired: false),
    .init("type", TypeName.schema, isRequired: false),
    .init("where", .string(maxLength: FieldCondition.maximumText), isRequired: false),
    .init("created_from", .string(format: "date-time"), isRequired: false),
    .init("created_before", .string(format: "date-time"), isRequired: false),
    .init("updated_from", .string(format: "date-time"), isRequired: false),
    .init("updated_before", .string(format: "date-time"), isRequired: false),
  ])

  init(json: JSONValue) throws(JSONError) {
    guard let object = json.object else { throw JSONError(.wrongType(expected: "object", found: json.kind)) }
    values = JSONObject(object.members.filter { $0.value != .null })
    var fields = try JSONFields(json)
    var text = try fields.optional("q", as: SearchText.self) ?? SearchText()
    if let names = try fields.optional("fields", as: SearchFields.self) { text.fields = names.names }
    self.text = text
    status = try fields.optional("status")
    createdBy = try fields.optional("created_by")
    contentType = try fields.optional("content_type")
    tag = try fields.optional("tag")
    type = try fields.optional("type")
    conditions = try fields.optional("where")
    created = (try fields.optional("created_from"), try fields.optional("created_before"))
    updated = (try fields.optional("updated_from"), try fields.optional("updated_before"))
    try fields.end()
    // Each beginning of a word is all words with it, on every change of a document.
    let beginnings = values["q"]?.string?.split(separator: " ").filter { $0.contains("*") } ?? []
    guard beginnings.count <= Self.beginnings, beginnings.allSatisfy({ $0.filter(\.isLetter).count >= 2 }) else {
      throw JSONError(
        .invalid(
          String(beginnings.joined(separator: " ").prefix(80)),
          remedy: "at most \(Self.beginnings) beginnings of words, each of two letters at least"), path: [.name("q")])
    }
    guard !values.members.isEmpty else {
      throw JSONError(.invalid("{}", remedy: "name at least one of q, status, created_by, tag, type, where"))
    }
  }

  /// The search, as somebody may run it.
  ///
  /// - Parameter definition: Of the type that the query names; nil: there is none of this name.
  /// - Throws: A problem that names what is not possible with the type's fields.
  func search(
    for caller: Caller, _ definition: DocumentType?
  ) throws(Problem) -> (text: SearchText, filter: SearchService.Filter) {
    var filter = SearchService.Filter(
      status: status, createdBy: createdBy, contentType: contentType, for: caller)
    (filter.tag, filter.created, filter.updated) = (tag, created, updated)
    if let type {
      guard let definition else {
        throw Problem(
          422, "Invalid body", detail: "there is no type of documents “\(type.text)”", field: "/query/type")
      }
      filter.type = type.text
      if let conditions { filter.conditions = try FieldCondition.read(conditions, of: definition) }
    } else if conditions != nil {
      throw Problem(422, "Invalid body", detail: "fields belong to a type: send type too", field: "/query/type")
    }
    return (text, filter)
  }
}
