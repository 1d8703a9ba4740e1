import Time
import HTTPClient
import Domain
public import Elasticsearch
public import Events
public import JSON

/// Who did what on which document when, across all documents, searchable: an entry for each event, an index for each month. It is a
/// copy of no row.
public struct Activity: ComparableView, AwaitableView {
  public let name = "activity"
  public let categories = ["\(Document.category)", "\(Signature.category)"]
  public let lanes = 2
  public let gathering = Duration.milliseconds(250)
  public var takesEveryEvent: Bool { true }
  private let index: SearchIndex

  public init(_ elasticsearch: ElasticsearchClient, alias: String, options: IndexOptions = IndexOptions()) {
    index = SearchIndex(
      elasticsearch: elasticsearch, alias: alias, options: options.seldomSearched, properties: Self.properties)
  }

  private static let properties = """
    {"id":{"type":"keyword"},
     "document_id":{"type":"keyword"},
     "stream":{"type":"keyword"},
     "version":{"type":"long"},
     "event":{"type":"keyword"},
     "actor":{"type":"text","fields":{"keyword":{"type":"keyword","ignore_above":1024}}},
     "at":{"type":"date"},
     "title":{"type":"text"},
     "status":{"type":"keyword"}}
    """

  public var store: any ViewStore { index }

  public func apply(_ changes: [ViewChange], to generation: Int) async throws -> [ViewOutcome] {
    try await write(changes, generation, overwrites: false)
  }

  public func repair(_ changes: [ViewChange], of generation: Int) async throws {
    _ = try await write(changes, generation, overwrites: true)
  }

  private func write(
    _ changes: [ViewChange], _ generation: Int, overwrites: Bool
  ) async throws -> [ViewOutcome] {
    let entries = changes.map { change in
      change.event.map { event in
        SearchIndex.Entry(
          part: Self.month(event), id: event.id, fence: .version(change.version.value),
          document: Self.document(change, event))
      }
    }
    for month in Set(entries.compactMap { $0?.part }).sorted() { try await index.make(generation, month) }
    var outcomes = try await index.write(entries.compactMap(\.self), to: generation, overwrites: overwrites)[...]
    return entries.map { entry in
      entry == nil ? .refused(reason: "the message does not say which event it is of") : outcomes.removeFirst()
    }
  }

  /// `2026.11`
  private static func month(_ event: ViewChange.Cause) -> String {
    String(event.recordedAt.description.prefix(7)).replacing("-", with: ".")
  }

  private static func document(_ change: ViewChange, _ event: ViewChange.Cause) -> [UInt8] {
    let row = change.after
    var writer = JSONWriter(reserving: 512)
    writer.object {
      $0.member("id", event.id)
      $0.member("document_id", row?["document_id"]?.string ?? change.id)
      $0.member("stream", "\(change.stream)")
      $0.member("version", change.version.value)
      $0.member("event", event.type)
      $0.member("actor", event.actor)
      $0.member("at", event.recordedAt.description)
      if let title = row?["title"]?.string { $0.member("title", title) }
      if let status = row?["status"]?.string { $0.member("status", status) }
    }
    return writer.bytes
  }

  // MARK: Comparison

  /// An entry's id for readers of this protocol is `<month>/<event>`: the month says in which index it is.
  public func entries(of change: ViewChange) -> [(id: String, row: ViewRow)] {
    guard let event = change.event else { return [] }
    let image = String(decoding: Self.document(change, event), as: UTF8.self)
    return [("\(Self.month(event))/\(event.id)", ViewRow(version: change.version, image: image))]
  }

  private static func parts(_ ids: [String]) -> [String: [String]] {
    Dictionary(grouping: ids.filter { $0.contains("/") }) { String($0.prefix { $0 != "/" }) }.mapValues { ids in
      ids.map { String($0.drop { $0 != "/" }.dropFirst()) }
    }
  }

  public func read(_ ids: [String], of generation: Int) async throws -> [String: ViewRow] {
    let months = Set(try await index.names(generation))
    var rows: [String: ViewRow] = [:]
    for (month, events) in Self.parts(ids) where months.contains(index.name(generation, part: month)) {
      for found in try await index.get(events, part: month, of: generation) {
        rows["\(month)/\(found.id)"] = ViewRow(
          version: StreamVersion(found.version), image: Self.ordered(found.source))
      }
    }
    return rows
  }

  /// Not every engine keeps the order of the fields.
  private static func ordered(_ source: JSONValue) -> String {
    let members = source.object?.members ?? []
    let names = ["id", "document_id", "stream", "version", "event", "actor", "at", "title", "status"]
    let known = names.compactMap { name in members.first { $0.name == name } }
    return JSONValue.object(JSONObject(known + members.filter { !names.contains($0.name) })).description
  }

  public func list(
    _ cursor: String?, of generation: Int
  ) async throws -> (entries: [(id: String, stream: StreamID)], next: String?) {
    let page = try await index.list(cursor, fields: ["id", "stream", "at"], of: generation)
    let entries = page.entries.compactMap { entry -> (id: String, stream: StreamID)? in
      guard let month = entry.source["at"]?.string?.prefix(7).replacing("-", with: "."),
        let stream = entry.source["stream"]?.string.flatMap({ StreamID($0) })
      else { return nil }
      return ("\(month)/\(entry.id)", stream)
    }
    return (entries, page.next)
  }

  public func remove(_ ids: [String], of generation: Int) async throws {
    for (month, events) in Self.parts(ids) { try await index.remove(events, part: month, of: generation) }
  }

  // MARK: Reading

  public func visibleVersion(of stream: StreamID, atLeast: StreamVersion) async throws -> StreamVersion? {
    let newest = try await index.first(
      ["term": ["stream": .string(stream.description)]], sort: [["version": "desc"]])
    return newest?["version"]?.integer.map { StreamVersion($0) }
  }

  /// Conditions for entries. An entry must meet all of them.
  public struct Filter: Sendable {
    public var document: String?
    public var actor: String?
    public var event: String?
    public var text: String?
    /// Timestamps: from this one on, and before that one.
    public var from: String?
    public var before: String?
    public init() {}
  }

  /// Entries, newest first.
  ///
  /// - Parameter after: Sort values of the last entry of the page before.
  public func find(
    _ filter: Filter, after: JSONValue?, limit: Int
  ) async throws -> (entries: [JSONValue], next: JSONValue?) {
    var clauses: [JSONValue] = []
    if let document = filter.document { clauses.append(["term": ["document_id": .string(document)]]) }
    if let actor = filter.actor { clauses.append(["term": ["actor.keyword": .string(actor)]]) }
    if let event = filter.event { clauses.append(["term": ["event": .string(event)]]) }
    if let text = filter.text {
      clauses.append(["multi_match": ["query": .string(text), "fields": ["title", "actor"]]])
    }
    if filter.from != nil || filter.before != nil {
      var range: [JSONObject.Member] = []
      if let from = filter.from { range.append(.init(name: "gte", value: .string(from))) }
      if let before = filter.before { range.append(.init(name: "lt", value: .string(before))) }
      clauses.append(["range": ["at": .object(JSONObject(range))]])
    }
    return try await index.page(
      ["bool": ["filter": .array(clauses)]], sort: [["at": "desc"], ["id": "desc"]], after: after, limit: limit)
  }
}
