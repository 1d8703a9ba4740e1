import Domain
import EventStore
public import HTTPServer
import Identifiers
import JSON
import Time

/// `/documents/{id}/audit`: who changed what, when, from what to what, by replay of the stream.
public struct AuditRoutes: Sendable {
  private let documents: DocumentService

  public init(_ documents: DocumentService) { self.documents = documents }

  public func add(to router: inout Router, prefix: String) {
    router.on(.get, "\(prefix)/documents/:id/audit", audit)
  }

  @Sendable
  private func audit(_ request: Request) async throws -> Response {
    let id = try request.documentID()
    let steps = try await documents.history(id)
    guard !steps.isEmpty else { throw DocumentRefusal.notFound }
    var writer = JSONWriter(reserving: 4_096)
    try writer.object { writer throws(JSONError) in
      writer.member("id", id.description)
      writer.name("entries")
      try writer.array { writer throws(JSONError) in
        for step in steps {
          writer.element()
          try Self.write(step, &writer)
        }
      }
    }
    return .json(writer.bytes)
  }

  private static func write(_ step: DocumentStep, _ writer: inout JSONWriter) throws(JSONError) {
    let changes = FieldChange.between(try row(step.before), try row(step.after))
    writer.object { writer in
      writer.member("version", step.recorded.version.value)
      writer.member("event_id", step.recorded.id.description)
      writer.member("type", step.recorded.type)
      writer.member("actor", step.recorded.metadata.actor)
      writer.member("recorded_at", step.recorded.recordedAt.description)
      if let correlation = step.recorded.metadata.correlationID { writer.member("correlation_id", correlation) }
      writer.name("changes")
      writer.array { writer in
        // Version and time of the last change are in the entry itself.
        for change in changes where change.field != "version" && change.field != "updated_at" {
          writer.element()
          writer.object {
            $0.member("field", change.field)
            $0.member("before", change.before ?? .null)
            $0.member("after", change.after ?? .null)
          }
        }
      }
    }
  }

  private static func row(_ document: Document?) throws(JSONError) -> JSONObject? {
    guard let document, !document.isDeleted else { return nil }
    return try JSONValue(parsing: document.rowImage).object
  }
}
