import Time
import Domain
import Elasticsearch
import HTTPClient
import JSON
import Projections

/// Reads documents from the search index, on one reactor. Markers of deleted documents are left out everywhere.
struct SearchService: Sendable {
  private let elasticsearch: ElasticsearchClient
  private let alias: String

  init(_ elasticsearch: ElasticsearchClient, alias: String) {
    (self.elasticsearch, self.alias) = (elasticsearch, alias)
  }

  struct Filter {
    var status: DocumentStatus?
    var createdBy: String?
    var contentType: String?
    var tag: String?
    var type: String?
    /// Conditions on the fields of that type.
    var conditions: [FieldCondition] = []
    /// Times of creation and of the last change: from one, before another.
    var created: (from: Timestamp?, before: Timestamp?) = (nil, nil)
    var updated: (from: Timestamp?, before: Timestamp?) = (nil, nil)
    /// Only what this caller may see: everything that is found, counted or shown goes by it.
    let caller: Caller

    init(status: DocumentStatus? = nil, createdBy: String? = nil, contentType: String? = nil, for caller: Caller) {
      (self.status, self.createdBy, self.contentType, self.caller) = (status, createdBy, contentType, caller)
    }

    var clauses: [JSONValue] {
      var clauses: [JSONValue] = []
      if !caller.seesAll { clauses.append(DocumentSearch.visible(to: caller.names, caller.groups)) }
      if let status { clauses.append(["term": ["status": .string(status.rawValue)]]) }
      if let createdBy { clauses.append(["term": ["created_by.keyword": .string(createdBy)]]) }
      for (field, range) in [("created_at", created), ("updated_at", updated)] {
        var bounds: [JSONObject.Member] = []
        if let from = range.from { bounds.append(.init(name: "gte", value: .string(from.description))) }
        if let before = range.before { bounds.append(.init(name: "lt", value: .string(before.description))) }
        if !bounds.isEmpty { clauses.append(["range": [field: .object(JSONObject(bounds))]]) }
      }
      if let tag { clauses.append(["term": ["tags": .string(tag)]]) }
      if let type { clauses.append(["term": ["type": .string(type)]]) }
      clauses += conditions.map(\.clause)
      if let contentType { clauses.append(["term": ["content_type": .string(contentType)]]) }
      return clauses
    }
  }

  private static let alive: JSONValue = [["term": ["deleted": true]]]
  private static let sourceFields: JSONValue =
    ["excludes": .array(DocumentSearch.ownFields.map { .string($0) })]

  struct Hit {
    /// The row image, as every reader of a document gets it.
    let row: [UInt8]
    let score: JSONValue
    let highlights: JSONValue
    let sort: JSONValue
  }

  struct Page {
    let total: Int64
    let took: Int64
    let hits: [Hit]
  }

  /// Full text, best first or in another order.
  func search(
    _ text: SearchText, _ filter: Filter, sort: SearchOrder, from: Int, size: Int
  ) async throws -> Page {
    try await page(
      .object(JSONObject(query(text, filter, sort, size: size) + [.init(name: "from", value: .integer(Int64(from)))])),
      operation: "searching")
  }

  private func query(_ text: SearchText, _ filter: Filter, _ sort: SearchOrder, size: Int) -> [JSONObject.Member] {
    [
      .init(name: "size", value: .integer(Int64(size))), .init(name: "track_total_hits", value: true),
      .init(name: "track_scores", value: true), .init(name: "_source", value: Self.sourceFields),
      .init(name: "sort", value: sort.clause),
      .init(
        name: "query",
        value: ["bool": ["must": [text.query], "filter": .array(filter.clauses), "must_not": Self.alive]]),
      .init(
        name: "highlight",
        value: [
          "encoder": "html",
          "fields": [
            "title": ["number_of_fragments": 0], "content": ["fragment_size": 150, "number_of_fragments": 3],
          ],
        ]),
    ]
  }

  /// How long Elasticsearch keeps a point in time after its last use.
  private static let keepAlive = "2m"

  /// A page of a way through all hits, as the index was when it began: no change in between moves, repeats or hides one.
  ///
  /// - Parameter place: nil: it begins.
  /// - Returns: The place behind the page; nil after the last one.
  /// - Throws: `SearchCursor.isOver` if Elasticsearch does not keep that point in time any more.
  func walk(
    _ text: SearchText, _ filter: Filter, sort: SearchOrder, from place: SearchCursor?, size: Int
  ) async throws -> (page: Page, next: SearchCursor?) {
    var pointInTime = place?.pointInTime
    if pointInTime == nil {
      let (_, opened) = try await elasticsearch.send(
        .post, "/\(alias)/_pit?keep_alive=\(Self.keepAlive)", operation: "beginning a search")
      pointInTime = opened["id"]?.string
    }
    guard let pointInTime else {
      throw ElasticsearchError.notUnderstood(operation: "beginning a search", reason: "no point in time")
    }
    var members = query(text, filter, sort, size: size)
    members.append(
      .init(name: "pit", value: ["id": .string(pointInTime), "keep_alive": .string(Self.keepAlive)]))
    if let place { members.append(.init(name: "search_after", value: place.sort)) }
    let found: (page: Page, pointInTime: String?)
    do {
      found = try await page(.object(JSONObject(members)), at: "", operation: "going on with a search")
    } catch ElasticsearchError.refused(_, 404, _) where place != nil {
      throw SearchCursor.isOver
    } catch {
      if place == nil { await end(pointInTime) }
      throw error
    }
    let next = found.pointInTime ?? pointInTime
    guard found.page.hits.count == size, let last = found.page.hits.last else {
      await end(next)
      return (found.page, nil)
    }
    return (found.page, SearchCursor(pointInTime: next, sort: last.sort))
  }

  /// Nobody comes back for a point in time. Elasticsearch forgets it by itself if this does not reach it.
  private func end(_ pointInTime: String) async {
    _ = try? await elasticsearch.send(
      .delete, "/_pit", (["id": .string(pointInTime)] as JSONValue).bytes, operation: "ending a search")
  }

  /// Documents whose titles have a word that begins with the last word of a text, and the other words before it.
  func suggest(_ text: String, _ filter: Filter, size: Int) async throws -> Page {
    try await page(
      [
        "size": .integer(Int64(size)), "_source": ["id", "title"],
        "query": [
          "bool": [
            "must": [["match_phrase_prefix": ["title": ["query": .string(text), "max_expansions": 1_000]]]],
            "filter": .array(filter.clauses), "must_not": Self.alive,
          ]
        ],
      ], operation: "suggesting")
  }

  /// Documents whose words are those of another one.
  func similar(to id: String, _ filter: Filter, size: Int) async throws -> Page {
    try await page(
      [
        "size": .integer(Int64(size)), "track_total_hits": true, "_source": Self.sourceFields,
        "query": [
          "bool": [
            "must": [
              [
                "more_like_this": [
                  "fields": ["title", "content"], "like": [["_index": .string(alias), "_id": .string(id)]],
                  "min_term_freq": 1, "min_doc_freq": 1, "max_query_terms": 25, "minimum_should_match": "30%",
                ]
              ]
            ], "filter": .array(filter.clauses),
            "must_not": [["term": ["deleted": true]], ["ids": ["values": [.string(id)]]]],
          ]
        ],
      ], operation: "looking for similar documents")
  }

  /// All documents, newest first, after a place in that order.
  func list(_ filter: Filter, after: JSONValue?, size: Int) async throws -> Page {
    var body: [JSONObject.Member] = [
      .init(name: "size", value: .integer(Int64(size))), .init(name: "track_total_hits", value: true),
      .init(name: "_source", value: Self.sourceFields),
      .init(name: "query", value: ["bool": ["filter": .array(filter.clauses), "must_not": Self.alive]]),
      .init(name: "sort", value: [["created_at": "desc"], ["id": "desc"]]),
    ]
    if let after { body.append(.init(name: "search_after", value: after)) }
    return try await page(.object(JSONObject(body)), operation: "listing documents")
  }

  private func page(_ body: JSONValue, operation: String) async throws -> Page {
    try await page(body, at: "/\(alias)", operation: operation).page
  }

  /// - Parameter place: Of what is searched; empty: the body names a point in time.
  private func page(
    _ body: JSONValue, at place: String, operation: String
  ) async throws -> (page: Page, pointInTime: String?) {
    let (_, answer) = try await elasticsearch.send(
      .post, "\(place)/_search?allow_partial_search_results=false", body.bytes, operation: operation)
    guard let hits = answer["hits"]?["hits"]?.array, let total = answer["hits"]?["total"]?["value"]?.integer else {
      throw ElasticsearchError.notUnderstood(operation: operation, reason: "no hits")
    }
    let page = Page(
      total: total, took: answer["took"]?.integer ?? 0,
      hits: hits.map { hit in
        Hit(
          row: DocumentSearch.rowImage(hit["_source"] ?? .null), score: hit["_score"] ?? .null,
          highlights: hit["highlight"] ?? [:],
          sort: hit["sort"] ?? .null)
      })
    return (page, answer["pit_id"]?.string)
  }

  // MARK: Saved searches

  /// How far the index is with some documents, by id; those that it does not have are missing. Deleted ones are there.
  ///
  /// - Throws: Also if it cannot tell of one.
  func versions(of ids: [String]) async throws -> [String: Int64] {
    let body: JSONValue = ["ids": .array(ids.map { .string($0) })]
    let (_, answer) = try await elasticsearch.send(
      .post, "/\(alias)/_mget?_source=false", body.bytes, operation: "looking for \(ids.count) documents")
    return try (answer["docs"]?.array ?? []).reduce(into: [:]) { versions, document in
      if let error = document["error"] {
        throw ElasticsearchError.refused(
          operation: "looking for documents", status: 503, reason: String(error.description.prefix(300)))
      }
      guard let id = document["_id"]?.string, let version = document["_version"]?.integer else { return }
      versions[id] = version
    }
  }

  /// Makes what is written searchable now.
  func refresh() async throws {
    _ = try await elasticsearch.send(.post, "/\(alias)/_refresh", operation: "refreshing \(alias)")
  }

  /// Whether the index has the fields of types: one of an older form has not, and would find nothing by them.
  func hasFields() async throws -> Bool {
    let (_, answer) = try await elasticsearch.send(
      .get, "/\(alias)/_mapping/field/values.name", operation: "looking at the mapping")
    return answer.object?.members.contains { $0.value["mappings"]?["values.name"] != nil } == true
  }

  enum Matches: Sendable {
    case found([(id: String, version: Int64)])
    /// Elasticsearch refuses the search.
    case refused(String)
  }

  /// How long one search may take among several.
  private static let searchLimit = "5s"

  /// Which of some documents each of several searches finds.
  ///
  /// - Throws: Also if one of them fails for a reason that may pass, or takes too long.
  func matches(_ searches: [(text: SearchText, filter: Filter)], among ids: [String]) async throws -> [Matches] {
    var lines: [UInt8] = []
    for search in searches {
      let query: JSONValue = [
        "size": .integer(Int64(ids.count)), "_source": ["version"], "track_total_hits": false,
        "timeout": .string(Self.searchLimit),
        "query": [
          "bool": [
            "must": [search.text.query], "must_not": Self.alive,
            "filter": .array([["ids": ["values": .array(ids.map { .string($0) })]]] + search.filter.clauses),
          ]
        ],
      ]
      lines += (["index": .string(alias), "allow_partial_search_results": false] as JSONValue).bytes + [0x0A]
      lines += query.bytes + [0x0A]
    }
    let operation = "running \(searches.count) saved searches"
    let (_, answer) = try await elasticsearch.send(
      .post, "/_msearch", lines, contentType: "application/x-ndjson", operation: operation)
    guard let responses = answer["responses"]?.array, responses.count == searches.count else {
      throw ElasticsearchError.notUnderstood(operation: operation, reason: "not as many answers as searches")
    }
    return try responses.map { response in
      let reason = String(response.description.prefix(300))
      let status = Int(response["status"]?.integer ?? 0)
      // Of this one search alone; what concerns all of them comes again.
      if status == 400 { return .refused(reason) }
      guard let hits = response["hits"]?["hits"]?.array, response["timed_out"] != true else {
        throw ElasticsearchError.refused(operation: operation, status: status, reason: reason)
      }
      return .found(
        hits.compactMap { hit in
          guard let id = hit["_id"]?.string, let version = hit["_source"]?["version"]?.integer else { return nil }
          return (id, version)
        })
    }
  }

  /// Fields that can be counted, and how Elasticsearch counts them.
  static let aggregations: [(field: String, aggregation: JSONValue)] = [
    ("status", ["terms": ["field": "status", "size": 100]]),
    ("created_by", ["terms": ["field": "created_by.keyword", "size": 100]]),
    ("content_type", ["terms": ["field": "content_type", "size": 100]]),
    ("tags", ["terms": ["field": "tags", "size": 100]]),
    ("created_at", ["date_histogram": ["field": "created_at", "calendar_interval": "day"]]),
  ]

  /// Documents by the values of a type's field: an array of values and counts, or of sums.
  func values(of name: String, _ kind: FieldKind, _ filter: Filter) async throws -> JSONValue {
    let sums: JSONValue = ["stats": ["field": "values.number"]]
    let inner: JSONValue =
      switch kind {
      case .number: sums
      case .money: ["terms": ["field": "values.currency", "size": 200], "aggs": ["sums": sums]]
      case .boolean: ["terms": ["field": "values.flag"]]
      case .date:
        ["date_histogram": ["field": "values.date", "calendar_interval": "month", "min_doc_count": 1]]
      case .text, .select, .link: ["terms": ["field": "values.keyword", "size": 200]]
      }
    let body: JSONValue = [
      "size": 0, "query": ["bool": ["filter": .array(filter.clauses), "must_not": Self.alive]],
      "aggs": [
        "all": [
          "nested": ["path": "values"],
          "aggs": ["field": ["filter": ["term": ["values.name": .string(name)]], "aggs": ["values": inner]]],
        ]
      ],
    ]
    let (_, answer) = try await elasticsearch.send(
      .post, "/\(alias)/_search?allow_partial_search_results=false", body.bytes, operation: "counting values")
    let found = answer["aggregations"]?["all"]?["field"]?["values"]
    func sum(_ stats: JSONValue?, _ currency: JSONValue) -> JSONValue? {
      guard let count = stats?["count"]?.integer, count > 0 else { return nil }
      return [
        // Of very large numbers there is none.
        "currency": currency, "count": .integer(count),
        "sum": stats?["sum"].flatMap { $0.double == nil ? nil : $0 } ?? .null,
        "minimum": stats?["min"] ?? .null, "maximum": stats?["max"] ?? .null,
      ]
    }
    let buckets = found?["buckets"]?.array ?? []
    switch kind {
    case .number: return .array([sum(found, .null)].compactMap(\.self))
    case .money: return .array(buckets.compactMap { sum($0["sums"], $0["key"] ?? .null) })
    case .boolean, .date, .text, .select, .link:
      return .array(
        buckets.map { bucket in
          let value = bucket["key"] ?? .null
          let key: JSONValue =
            switch kind {
            case .boolean: .bool(value == 1 || value == true || bucket["key_as_string"] == "true")
            // Milliseconds since 1970.
            case .date:
              value.integer.map { .string(String(Timestamp(microseconds: $0 * 1_000).description.prefix(10))) } ?? value
            case .text, .select, .link, .number, .money: value
            }
          return ["key": key, "count": bucket["doc_count"] ?? 0]
        })
    }
  }

  /// Documents by the values of a field: value and count, most frequent first (days in order).
  func aggregate(_ aggregation: JSONValue, _ filter: Filter) async throws -> [(value: JSONValue, count: Int64)] {
    let body: JSONValue = [
      "size": 0, "query": ["bool": ["filter": .array(filter.clauses), "must_not": Self.alive]],
      "aggs": ["values": aggregation],
    ]
    let (_, answer) = try await elasticsearch.send(
      .post, "/\(alias)/_search?allow_partial_search_results=false", body.bytes, operation: "counting documents")
    let buckets = answer["aggregations"]?["values"]?["buckets"]?.array ?? []
    return buckets.map { ($0["key_as_string"] ?? $0["key"] ?? .null, $0["doc_count"]?.integer ?? 0) }
  }
}
