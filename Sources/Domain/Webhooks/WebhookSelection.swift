public import Identifiers
public import JSON

/// Of which events a webhook is told. What is empty or nil is no condition.
public struct WebhookSelection: Equatable, Sendable {
  /// Names of events: `document.created`.
  public let events: [String]
  public let documents: [UUID]
  /// The type that the document has at that moment, and a tag.
  public let type: String?
  public let tag: String?

  public init(events: [String] = [], documents: [UUID] = [], type: String? = nil, tag: String? = nil) {
    (self.events, self.documents, self.type, self.tag) = (events, documents, type, tag)
  }

  /// How many events and documents may be named.
  public static let maximum = 100

  /// True for a document as it is after an event.
  public func fits(_ document: Document) -> Bool {
    (type == nil || document.custom?.type == type) && (tag.map { document.tags.contains($0) } ?? true)
  }

  public func fits(event name: String) -> Bool { events.isEmpty || events.contains(name) }

  public func fits(document id: UUID) -> Bool { documents.isEmpty || documents.contains(id) }
}

extension WebhookSelection: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    let events = try fields.optional("events", as: JSONValue.self)?.array ?? []
    let documents = try fields.optional("documents", as: JSONValue.self)?.array ?? []
    self.init(
      events: events.compactMap(\.string), documents: documents.compactMap { $0.string.flatMap { UUID($0) } },
      type: try fields.optional("type"), tag: try fields.optional("tag"))
  }

  public func write(_ writer: inout JSONWriter) {
    writer.object {
      if !events.isEmpty { $0.member("events", events) }
      if !documents.isEmpty { $0.member("documents", documents.map(\.description)) }
      if let type { $0.member("type", type) }
      if let tag { $0.member("tag", tag) }
    }
  }
}
