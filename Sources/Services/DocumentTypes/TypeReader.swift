import Domain
import EventStore
import HTTPServer
import JSON

/// Looks types of documents up. It keeps nothing: a definition that is a moment old could let a value pass that the newest one
/// refuses.
struct TypeReader: Sendable {
  private let types: AggregateStore<DocumentType>

  init(_ store: EventStore) { types = AggregateStore(store) }

  /// - Throws: A problem with status 422 if there is none of this name.
  func definition(_ name: String) async throws -> DocumentType {
    guard DocumentType.isName(name), let type = try await types.load(name).state else {
      throw Problem(
        422, "Invalid body",
        detail: "there is no type of documents “\(name.prefix(80))”: GET /document-types lists those that there are",
        field: "/type")
    }
    return type
  }

  /// What a request wants to be changed; nil: nothing.
  ///
  /// - Parameter present: What the document has; nil: it has no type.
  func change(to name: String?, _ values: FieldValues?, of present: CustomFields?) async throws -> FieldsChange? {
    guard let type = name ?? present?.type else {
      guard values == nil else {
        throw Problem(422, "Invalid body", detail: "fields belong to a type: send type too", field: "/type")
      }
      return nil
    }
    guard name != nil || values != nil else { return nil }
    return FieldsChange(by: try await definition(type), setsType: name != nil, values?.values ?? JSONObject())
  }
}
