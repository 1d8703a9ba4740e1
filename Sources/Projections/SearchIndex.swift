import Elasticsearch
import Events
import HTTPClient
import JSON

/// The indexes of one view in Elasticsearch: `<alias>-<generation>` for each generation, with more beside it where the view is
/// divided into parts (`…-2026.11`), and the alias, which readers use.
///
/// Writes go through an alias of the generation (`…-write`) and require it: an index that was deleted is never made again by a
/// write, without mapping and with half of the entries. Writes use the stream's version as external version, so an older
/// change never overwrites a newer one. Elasticsearch forgets versions of deleted documents (`index.gc_deletes`), so a deletion
/// writes a marker, which the alias hides.
struct SearchIndex: ViewStore {
  let elasticsearch: ElasticsearchClient
  /// The readers' alias.
  let alias: String
  let options: IndexOptions
  /// The properties of the mapping, as JSON. Unknown fields are kept and not searched.
  let properties: String
  /// A bulk request ends at this size: Elasticsearch refuses 100 MiB, and everything is in memory until then.
  static let maximumBulk = 8 << 20

  func name(_ generation: Int, part: String = "") -> String {
    "\(alias)-\(generation)" + (part.isEmpty ? "" : "-\(part)")
  }
  private func writeAlias(_ generation: Int, _ part: String) -> String { "\(name(generation, part: part))-write" }

  /// Hides the markers of deleted documents from all readers, including operators.
  static let alive = #"{"filter":{"bool":{"must_not":{"term":{"deleted":true}}}}}"#

  // MARK: Generations

  /// - Parameter expectsEntries: Indexes without any document have then lost them.
  func isThere(_ generation: Int, expectsEntries: Bool) async throws -> Bool {
    guard let aliases = try await aliases(generation, ""), aliases.contains(writeAlias(generation, "")) else {
      return false
    }
    let names = try await self.names(generation)
    // Every part that was made.
    for alias in aliases where alias.hasSuffix(Self.made) {
      guard names.contains(String(alias.dropLast(Self.made.count))) else { return false }
    }
    guard expectsEntries else { return true }
    let list = names.joined(separator: ",")
    if try await hasEntries(list) { return true }
    // The count leaves out the newest entries until a refresh.
    _ = try await elasticsearch.send(.post, "/\(list)/_refresh", operation: "refreshing \(list)")
    return try await count(list) > 0
  }

  /// An alias of the first index for each part: it was made. A part that is gone must not come back empty.
  private static let made = "-made"

  /// The aliases of a part's index; nil: it is not there.
  private func aliases(_ generation: Int, _ part: String) async throws -> Set<String>? {
    let name = name(generation, part: part)
    let (status, answer) = try await elasticsearch.send(
      .get, "/\(name)", operation: "looking for the index \(name)", accepting: [404])
    guard status != 404 else { return nil }
    return Set(answer[name]?["aliases"]?.object?.members.map(\.name) ?? [])
  }

  /// The generation whose indexes have the readers' alias.
  func shown() async throws -> Int? {
    for name in try await holders() where name.hasPrefix("\(alias)-") {
      if let number = Int(name.dropFirst(alias.count + 1).prefix { $0 != "-" }) { return number }
    }
    return nil
  }

  /// True if an index has an entry. It asks for statistics, and searches only without an answer: regular searches would have the
  /// index refreshed all the time.
  private func hasEntries(_ names: String) async throws -> Bool {
    // A server that imitates Elasticsearch may have no statistics.
    let (_, answer) = try await elasticsearch.send(
      .get, "/\(names)/_stats/docs", operation: "asking for entries of \(names)", accepting: [400, 404, 405])
    if let entries = answer["_all"]?["primaries"]?["docs"]?["count"]?.integer, entries > 0 { return true }
    return try await count(names) > 0
  }

  private func count(_ names: String) async throws -> Int64 {
    let operation = "counting the documents of \(names)"
    let (_, answer) = try await elasticsearch.send(.get, "/\(names)/_count", operation: operation)
    guard let count = answer["count"]?.integer else {
      throw ElasticsearchError.notUnderstood(operation: operation, reason: "no count")
    }
    // After a restart the shards come back one after another, and those that are not there are not counted.
    guard answer["_shards"]?["successful"]?.integer == answer["_shards"]?["total"]?.integer else {
      throw ElasticsearchError.refused(operation: operation, status: 503, reason: "not all shards are there yet")
    }
    return count
  }

  /// Makes a part's index unless it is there.
  func make(_ generation: Int) async throws { try await make(generation, "") }

  func make(_ generation: Int, _ part: String) async throws {
    let name = name(generation, part: part)
    if let aliases = try await aliases(generation, part) {
      if aliases.contains(writeAlias(generation, part)) { return }
      // Somebody made it without us: a write of another program, or a restore of the data alone.
      try await delete(name)
    }
    if !part.isEmpty, try await aliases(generation, "")?.contains(name + Self.made) != false {
      // Somebody else may have made it just now.
      if try await aliases(generation, part)?.contains(writeAlias(generation, part)) == true { return }
      throw StoreLost(store: "index \(name)")
    }
    // A part that comes later is seen at once if its generation is.
    let isSeen = part.isEmpty ? false : try await holders().contains(self.name(generation))
    let body = """
      {"settings":\(options.json),"mappings":{"dynamic":false,"properties":\(properties)},
       "aliases":{"\(writeAlias(generation, part))":{"is_write_index":true}\(isSeen ? #","\#(alias)":\#(Self.alive)"# : "")}}
      """
    let (made, refusal) = try await elasticsearch.send(
      .put, "/\(name)", Array(body.utf8), operation: "creating the index \(name)", accepting: [400])
    if made == 400, refusal["error"]?["type"]?.string != "resource_already_exists_exception" {
      throw ElasticsearchError.refused(
        operation: "creating the index \(name)", status: made, reason: refusal.description)
    }
    guard !part.isEmpty else { return }
    let note = #"{"actions":[{"add":{"index":"\#(self.name(generation))","alias":"\#(name + Self.made)"}}]}"#
    _ = try await elasticsearch.send(.post, "/_aliases", Array(note.utf8), operation: "noting the index \(name)")
  }

  /// The indexes that have the readers' alias.
  private func holders() async throws -> [String] {
    let (status, answer) = try await elasticsearch.send(
      .get, "/_alias/\(alias)", operation: "asking who has the alias \(alias)", accepting: [404])
    return status == 404 ? [] : answer.object?.members.map(\.name) ?? []
  }

  /// The indexes of a generation: the first, and its parts.
  func names(_ generation: Int) async throws -> [String] {
    let name = name(generation)
    let (status, answer) = try await elasticsearch.send(
      .get, "/\(name),\(name)-*/_alias?ignore_unavailable=true", operation: "listing the indexes of \(name)",
      accepting: [404])
    guard status != 404 else { return [] }
    // Names only: others may have an alias or an index that looks like it.
    return (answer.object?.members.map(\.name) ?? []).filter { found in
      if found == name { return true }
      let part = found.dropFirst(name.count + 1)
      return part.count == 7 && part.allSatisfy { $0.isNumber || $0 == "." }
    }.sorted()
  }

  /// Moves the readers' alias in one step.
  func activate(_ generation: Int) async throws {
    let (present, wanted) = (Set(try await holders()), Set(try await names(generation)))
    guard present != wanted, !wanted.isEmpty else { return }
    // Readers see at once what the generation before showed them.
    let names = wanted.sorted().joined(separator: ",")
    _ = try await elasticsearch.send(.post, "/\(names)/_refresh", operation: "refreshing \(names)")
    let removals = present.subtracting(wanted).sorted().map { #"{"remove":{"index":"\#($0)","alias":"\#(alias)"}}"# }
    let additions = wanted.sorted().map {
      #"{"add":{"index":"\#($0)","alias":"\#(alias)",\#(Self.alive.dropFirst().dropLast())}}"#
    }
    let body = #"{"actions":[\#((removals + additions).joined(separator: ","))]}"#
    _ = try await elasticsearch.send(
      .post, "/_aliases", Array(body.utf8), operation: "moving the alias \(alias) to \(name(generation))")
  }

  func drop(_ generation: Int) async throws { for name in try await names(generation) { try await delete(name) } }

  private func delete(_ name: String) async throws {
    _ = try await elasticsearch.send(.delete, "/\(name)", operation: "deleting the index \(name)", accepting: [404])
  }

  // MARK: Writing

  struct Entry {
    var part = ""
    let id: String
    let fence: Fence
    /// A JSON object.
    let document: [UInt8]
  }

  /// What keeps an older write from replacing a newer document.
  enum Fence {
    /// The stream's version.
    case version(Int64)
    /// The document is still as it was read; nil: there is none.
    case unchanged(Found?)
  }

  /// Writes entries; one for each outcome.
  ///
  /// - Parameter overwrites: An entry of the same version is replaced too.
  func write(_ entries: [Entry], to generation: Int, overwrites: Bool = false) async throws -> [ViewOutcome] {
    var outcomes: [ViewOutcome] = []
    var rest = entries[...]
    while !rest.isEmpty {
      var bytes = 0
      let part = rest.prefix { entry in
        let isFirst = bytes == 0
        bytes += entry.document.count + 200
        return isFirst || bytes <= Self.maximumBulk
      }
      rest = rest.dropFirst(part.count)
      outcomes += try await bulk(part, generation, overwrites)
    }
    return outcomes
  }

  private func bulk(_ entries: ArraySlice<Entry>, _ generation: Int, _ overwrites: Bool) async throws -> [ViewOutcome] {
    var body: [UInt8] = []
    body.reserveCapacity(entries.reduce(0) { $0 + $1.document.count + 200 })
    for entry in entries {
      var line = JSONWriter(reserving: 200)
      line.object { line in
        if case .unchanged(nil) = entry.fence { line.name("create") } else { line.name("index") }
        line.object {
          $0.member("_index", writeAlias(generation, entry.part))
          $0.member("_id", entry.id)
          switch entry.fence {
          case .version(let version):
            $0.member("version", version)
            $0.member("version_type", overwrites ? "external_gte" : "external")
          case .unchanged(let found?):
            $0.member("if_seq_no", found.sequence)
            $0.member("if_primary_term", found.term)
          case .unchanged(nil): break
          }
        }
      }
      body += line.bytes
      body.append(0x0A)
      body += entry.document
      body.append(0x0A)
    }
    let operation = "indexing \(entries.count) documents"
    let (status, answer) = try await elasticsearch.send(
      .post, "/_bulk?require_alias=true", body, contentType: "application/x-ndjson", operation: operation,
      accepting: [413])
    if status == 413 {
      guard entries.count > 1 else {
        return [.refused(reason: "Elasticsearch takes no request of \(body.count) bytes (http.max_content_length)")]
      }
      let middle = entries.startIndex + entries.count / 2
      return try await bulk(entries[..<middle], generation, overwrites)
        + bulk(entries[middle...], generation, overwrites)
    }
    let items = answer["items"]?.array ?? []
    guard items.count == entries.count else {
      throw ElasticsearchError.notUnderstood(
        operation: operation, reason: "\(items.count) answers for \(entries.count) documents")
    }
    return try items.map { try outcome($0["index"] ?? $0["create"], generation) }
  }

  private func outcome(_ item: JSONValue?, _ generation: Int) throws -> ViewOutcome {
    guard let item, let status = item["status"]?.integer else {
      throw ElasticsearchError.notUnderstood(operation: "indexing", reason: "an answer without a status")
    }
    let reason = item["error"]?.description ?? ""
    switch status {
    case ..<300: return .applied
    case 409: return .stale
    case 404: throw StoreLost(store: "index \(name(generation))")
    case 413: return .refused(reason: "\(status) \(reason)")
    // What is wrong with the document itself; a closed index or an alias in disorder says 400 too, and passes.
    case 400
    where ["document_parsing_exception", "mapper_parsing_exception", "immense term"].contains(where: reason.contains):
      return .refused(reason: "\(status) \(reason)")
    default:
      throw ElasticsearchError.refused(
        operation: "indexing \(item["_id"]?.string ?? "")", status: Int(status), reason: reason)
    }
  }

  func remove(_ ids: [String], part: String = "", of generation: Int) async throws {
    guard !ids.isEmpty else { return }
    var body: [UInt8] = []
    for id in ids {
      var line = JSONWriter(reserving: 128)
      line.object {
        $0.name("delete")
        $0.object {
          $0.member("_index", writeAlias(generation, part))
          $0.member("_id", id)
        }
      }
      body += line.bytes
      body.append(0x0A)
    }
    _ = try await elasticsearch.send(
      .post, "/_bulk?require_alias=true&refresh=true", body, contentType: "application/x-ndjson",
      operation: "deleting \(ids.count) documents")
  }

  // MARK: Reading

  struct Found {
    let id: String
    let version: Int64
    let source: JSONValue
    let sequence: Int64
    let term: Int64
  }

  /// Documents by their ids, as they are now: not as the last refresh left them.
  func get(
    _ ids: [String], part: String = "", without fields: [String] = [], of generation: Int
  ) async throws -> [Found] {
    guard !ids.isEmpty else { return [] }
    var writer = JSONWriter()
    writer.object {
      $0.member("ids", ids)
    }
    let exclusion = fields.isEmpty ? "" : "?_source_excludes=\(fields.joined(separator: ","))"
    let (_, answer) = try await elasticsearch.send(
      .post, "/\(name(generation, part: part))/_mget\(exclusion)", writer.bytes,
      operation: "reading \(ids.count) documents")
    return (answer["docs"]?.array ?? []).compactMap { document in
      guard let id = document["_id"]?.string, let source = document["_source"], source.object != nil,
        let version = document["_version"]?.integer
      else { return nil }
      return Found(
        id: id, version: version, source: source, sequence: document["_seq_no"]?.integer ?? 0,
        term: document["_primary_term"]?.integer ?? 0)
    }
  }

  /// The next documents by their field `id`, with some fields of theirs. `next` is nil after the last page.
  func list(
    _ cursor: String?, fields: [String], of generation: Int
  ) async throws -> (entries: [(id: String, source: JSONValue)], next: String?) {
    let names = try await self.names(generation).joined(separator: ",")
    if cursor == nil {
      _ = try await elasticsearch.send(.post, "/\(names)/_refresh", operation: "refreshing \(names)")
    }
    var body: [JSONObject.Member] = [
      .init(name: "size", value: .integer(Int64(Self.page))), .init(name: "query", value: ["exists": ["field": "id"]]),
      .init(name: "sort", value: [["id": "asc"]]), .init(name: "_source", value: .array(fields.map { .string($0) })),
    ]
    if let cursor { body.append(.init(name: "search_after", value: [.string(cursor)])) }
    let (_, answer) = try await elasticsearch.send(
      .post, "/\(names)/_search?allow_partial_search_results=false", JSONValue.object(JSONObject(body)).bytes,
      operation: "listing \(names)")
    guard let hits = answer["hits"]?["hits"]?.array else {
      throw ElasticsearchError.notUnderstood(operation: "listing \(names)", reason: "no hits")
    }
    let entries = hits.compactMap { hit in hit["_id"]?.string.map { (id: $0, source: hit["_source"] ?? .null) } }
    return (entries, hits.count < Self.page ? nil : entries.last?.id)
  }

  private static let page = 1_000

  // MARK: What readers see

  /// Documents of the live generation by their ids. A change that was applied is not searchable before a refresh.
  func live(_ id: String) async throws -> (version: Int64, source: JSONValue)? {
    let body: JSONValue = ["ids": [.string(id)]]
    let (status, answer) = try await elasticsearch.forReaders.send(
      .post, "/\(alias)/_mget", body.bytes, operation: "reading \(id)", accepting: [404])
    guard status != 404, let found = answer["docs"]?.array?.first, let version = found["_version"]?.integer else {
      return nil
    }
    return (version, found["_source"] ?? .null)
  }

  /// Makes what is written searchable now.
  func refreshLive() async throws {
    _ = try await elasticsearch.forReaders.send(
      .post, "/\(alias)/_refresh", operation: "refreshing \(alias)", accepting: [404])
  }

  /// The first hit of a query on the live generation.
  func first(_ query: JSONValue, sort: JSONValue) async throws -> JSONValue? {
    try await page(query, sort: sort, after: nil, limit: 1, accepting: [404]).entries.first
  }

  /// Hits of a query on the live generation, in an order.
  ///
  /// - Parameter after: `next` of the page before.
  /// - Returns: `next` is nil after the last page.
  func page(
    _ query: JSONValue, sort: JSONValue, after: JSONValue?, limit: Int, accepting: Set<Int> = []
  ) async throws -> (entries: [JSONValue], next: JSONValue?) {
    var body: [JSONObject.Member] = [
      .init(name: "size", value: .integer(Int64(limit))), .init(name: "query", value: query),
      .init(name: "sort", value: sort),
    ]
    if let after { body.append(.init(name: "search_after", value: after)) }
    let (_, answer) = try await elasticsearch.forReaders.send(
      .post, "/\(alias)/_search?allow_partial_search_results=false", JSONValue.object(JSONObject(body)).bytes,
      operation: "searching \(alias)", accepting: accepting)
    let hits = answer["hits"]?["hits"]?.array ?? []
    return (hits.compactMap { $0["_source"] }, hits.count < limit ? nil : hits.last?["sort"])
  }
}
