import HTTPClient
import Domain
public import Elasticsearch
public import Events
public import JSON
import Reactor

/// The signatures of each document in Elasticsearch, nested in one entry: which documents has somebody signed?
///
/// A document's signatures are streams of their own and may be written by several consumers at once: an entry is replaced only if
/// it is still as it was read.
public struct SignatureSearch: ComparableView, AwaitableView {
  public let name = "signature-search"
  public let categories = ["\(Signature.category)"]
  /// 2: addresses are found in capital and small letters.
  public let form = 2
  public let gathering = Duration.milliseconds(50)
  private let index: SearchIndex
  private static let maximumTries = 30

  public init(_ elasticsearch: ElasticsearchClient, alias: String, options: IndexOptions = IndexOptions()) {
    index = SearchIndex(
      elasticsearch: elasticsearch, alias: alias, options: options.seldomSearched, properties: Self.properties)
  }

  private static let properties = """
    {"id":{"type":"keyword"},
     "count":{"type":"integer"},
     "signed_at":{"type":"date"},
     "signatures":{"type":"nested","properties":{
       "id":{"type":"keyword"},
       "signer_email":{"type":"keyword","normalizer":"lowercase"},
       "signer_name":{"type":"text","fields":{"keyword":{"type":"keyword","ignore_above":1024}}},
       "status":{"type":"keyword"},
       "document_version":{"type":"long"},
       "document_sha256":{"type":"keyword","index":false},
       "created_at":{"type":"date"},
       "version":{"type":"long"}}}}
    """
  /// The members of a signature's row that the entry has.
  private static let members = [
    "id", "signer_email", "signer_name", "status", "document_version", "document_sha256", "created_at", "version",
  ]

  public var store: any ViewStore { index }

  public func apply(_ changes: [ViewChange], to generation: Int) async throws -> [ViewOutcome] {
    try await write(changes, generation, again: false)
  }

  public func repair(_ changes: [ViewChange], of generation: Int) async throws {
    _ = try await write(changes, generation, again: true)
  }

  /// Documents that are in memory at once: each may have a thousand signatures.
  private static let together = 16

  private func write(_ changes: [ViewChange], _ generation: Int, again: Bool) async throws -> [ViewOutcome] {
    var outcomes = [ViewOutcome](repeating: .stale, count: changes.count)
    var all: [String: [Int]] = [:]
    for (number, change) in changes.enumerated() {
      // A signature is never withdrawn: without a row there is nothing to say.
      guard let row = change.after else { continue }
      guard let document = row["document_id"]?.string else {
        outcomes[number] = .refused(reason: "the row of \(change.stream) names no document")
        continue
      }
      all[document, default: []].append(number)
    }
    let documents = all.keys.sorted()
    for start in stride(from: 0, to: documents.count, by: Self.together) {
      let part = documents[start..<min(start + Self.together, documents.count)]
      let open = all.filter { part.contains($0.key) }
      try await write(open, changes, generation, again: again, &outcomes)
    }
    return outcomes
  }

  private func write(
    _ wanted: [String: [Int]], _ changes: [ViewChange], _ generation: Int, again: Bool, _ outcomes: inout [ViewOutcome]
  ) async throws {
    var open = wanted
    for _ in 0..<Self.maximumTries where !open.isEmpty {
      let known = Dictionary(
        try await index.get(open.keys.sorted(), of: generation).map { ($0.id, $0) }, uniquingKeysWith: { $1 })
      var entries: [SearchIndex.Entry] = []
      for (document, numbers) in open.sorted(by: { $0.key < $1.key }) {
        var list = known[document]?.source["signatures"]?.array ?? []
        var hasChanged = false
        for number in numbers {
          let new = Self.entry(changes[number].after ?? .null)
          let place = list.firstIndex { $0["id"] == new["id"] }
          if let place {
            let (old, version) = (list[place]["version"]?.integer ?? 0, changes[number].version.value)
            guard old < version || again && old == version else { continue }
            list[place] = new
          } else {
            list.append(new)
          }
          (hasChanged, outcomes[number]) = (true, .applied)
        }
        guard hasChanged else {
          open[document] = nil
          continue
        }
        entries.append(
          SearchIndex.Entry(id: document, fence: .unchanged(known[document]), document: Self.document(document, list)))
      }
      for (entry, outcome) in zip(entries, try await index.write(entries, to: generation)) {
        switch outcome {
        case .applied: open[entry.id] = nil
        // Somebody else has written the entry meanwhile: read it again.
        case .stale: continue
        case .refused:
          for number in open[entry.id] ?? [] { outcomes[number] = outcome }
          open[entry.id] = nil
        }
      }
    }
    guard open.isEmpty else { throw Contended(document: open.keys.sorted()[0]) }
  }

  /// An entry was changed by others again and again.
  struct Contended: RetriableError, CustomStringConvertible {
    let document: String
    var isRetriable: Bool { true }
    var description: String { "the signatures of document \(document) are written by others all the time" }
  }

  private static func entry(_ row: JSONValue) -> JSONValue {
    .object(JSONObject(members.compactMap { name in row[name].map { .init(name: name, value: $0) } }))
  }

  private static func document(_ id: String, _ signatures: [JSONValue]) -> [UInt8] {
    let ordered = signatures.sorted { ($0["id"]?.string ?? "") < ($1["id"]?.string ?? "") }
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      writer.member("id", id)
      writer.member("count", ordered.count)
      if let last = ordered.compactMap({ $0["created_at"]?.string }).max() { writer.member("signed_at", last) }
      writer.array("signatures", of: ordered) { $0.value($1) }
    }
    return writer.bytes
  }

  // MARK: Comparison

  /// An entry's id for readers of this protocol is `<document>/<signature>`.
  public func entries(of change: ViewChange) -> [(id: String, row: ViewRow)] {
    guard let row = change.after, let document = row["document_id"]?.string else { return [] }
    return [("\(document)/\(change.id)", ViewRow(version: change.version, image: Self.entry(row).description))]
  }

  private static func document(of id: String) -> String { String(id.prefix { $0 != "/" }) }

  public func read(_ ids: [String], of generation: Int) async throws -> [String: ViewRow] {
    let wanted = Set(ids)
    var rows: [String: ViewRow] = [:]
    let documents = Set(ids.map(Self.document)).sorted()
    for start in stride(from: 0, to: documents.count, by: Self.together) {
      let part = Array(documents[start..<min(start + Self.together, documents.count)])
      for found in try await index.get(part, of: generation) {
        for signature in found.source["signatures"]?.array ?? [] {
          let id = "\(found.id)/\(signature["id"]?.string ?? "")"
          guard wanted.contains(id) else { continue }
          rows[id] = ViewRow(
            version: StreamVersion(signature["version"]?.integer ?? 0), image: Self.entry(signature).description)
        }
      }
    }
    return rows
  }

  public func list(
    _ cursor: String?, of generation: Int
  ) async throws -> (entries: [(id: String, stream: StreamID)], next: String?) {
    let page = try await index.list(cursor, fields: ["id", "signatures.id"], of: generation)
    let entries = page.entries.flatMap { entry in
      (entry.source["signatures"]?.array ?? []).compactMap { signature in
        signature["id"]?.string.map { (id: "\(entry.id)/\($0)", stream: Signature.stream($0)) }
      }
    }
    return (entries, page.next)
  }

  public func remove(_ ids: [String], of generation: Int) async throws {
    for (document, doomed) in Dictionary(grouping: ids, by: Self.document) {
      guard let found = try await index.get([document], of: generation).first else { continue }
      let rest = (found.source["signatures"]?.array ?? []).filter { signature in
        !doomed.contains("\(document)/\(signature["id"]?.string ?? "")")
      }
      if rest.isEmpty {
        try await index.remove([document], of: generation)
      } else {
        let entry = SearchIndex.Entry(id: document, fence: .unchanged(found), document: Self.document(document, rest))
        _ = try await index.write([entry], to: generation)
      }
    }
  }

  // MARK: Reading

  public func visibleVersion(of stream: StreamID, atLeast: StreamVersion) async throws -> StreamVersion? {
    let entry = try await index.first(
      ["nested": ["path": "signatures", "query": ["term": ["signatures.id": .string(stream.id)]]]],
      sort: [["id": "asc"]])
    return entry?["signatures"]?.array?.first { $0["id"]?.string == stream.id }?["version"]?.integer.map {
      StreamVersion($0)
    }
  }

  /// Documents that somebody has signed, by e-mail address, the latest signature first.
  public func documents(
    signedBy email: String, after: JSONValue?, limit: Int
  ) async throws -> (entries: [JSONValue], next: JSONValue?) {
    try await index.page(
      ["nested": ["path": "signatures", "query": ["term": ["signatures.signer_email": .string(email)]]]],
      sort: [["signed_at": "desc"], ["id": "desc"]], after: after, limit: limit)
  }
}
