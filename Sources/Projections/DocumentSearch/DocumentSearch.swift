public import Domain
public import Elasticsearch
public import Events
public import JSON
public import Logging
public import Metrics
public import S3

/// Documents in Elasticsearch: the row image and the content's text.
public struct DocumentSearch: ComparableView, AwaitableView {
  public let name = "document-search"
  public let categories = ["\(Document.category)"]
  public let form = 4
  public let lanes = 2
  public let gathering = Duration.milliseconds(50)
  private let s3: S3Client
  private let index: SearchIndex
  private let texts = TextCache()
  private let logger: Logger
  private let missing: Counter
  /// Alias through which readers use the index.
  public var alias: String { index.alias }

  /// Maximum size of an indexed text, in bytes. Only the beginning of a longer text is indexed: Elasticsearch marks hits in a
  /// million characters at most (index.highlight.max_analyzed_offset), and fails the whole search otherwise.
  static let maximumText = 999_000

  public init(
    _ elasticsearch: ElasticsearchClient, content: S3Client, alias: String = "documents",
    options: IndexOptions = IndexOptions(), logger: Logger, metrics: MetricsRegistry
  ) {
    (s3, self.logger) = (content, logger)
    index = SearchIndex(elasticsearch: elasticsearch, alias: alias, options: options, properties: Self.properties)
    missing = metrics.counter(
      "annals_projection_missing_contents_total",
      help: "Documents that were indexed without their text, because the object store does not have it.")
  }

  private static let properties = """
    {"id":{"type":"keyword"},
     "title":{"type":"text","index_prefixes":{"min_chars":1,"max_chars":10},"fields":{"keyword":{"type":"keyword","ignore_above":1024}}},
     "content_type":{"type":"keyword"},
     "content_size":{"type":"long"},
     "s3_key":{"type":"keyword","index":false},
     "content_sha256":{"type":"keyword","index":false},
     "status":{"type":"keyword"},
     "created_by":{"type":"text","fields":{"keyword":{"type":"keyword","ignore_above":1024}}},
     "created_at":{"type":"date"},
     "updated_at":{"type":"date"},
     "tags":{"type":"keyword"},
     "type":{"type":"keyword"},
     "type_version":{"type":"long"},
     "fields_json":{"type":"keyword","index":false,"doc_values":false},
     "values":{"type":"nested","properties":{
       "name":{"type":"keyword"},"keyword":{"type":"keyword","ignore_above":2048},"number":{"type":"double","ignore_malformed":true},
       "currency":{"type":"keyword"},"date":{"type":"date","format":"yyyy-MM-dd","ignore_malformed":true},"flag":{"type":"boolean"}}},
     "field_texts":{"type":"text"},
     "owner":{"type":"keyword"},
     "shared":{"type":"nested","properties":{"with":{"type":"keyword"},"until":{"type":"date"}}},
     "version":{"type":"long"},
     "content":{"type":"text"},
     "indexed_sha256":{"type":"keyword","index":false},
     "content_missing":{"type":"boolean"},
     "deleted":{"type":"boolean"}}
    """
  /// Fields that are not the row's.
  public static let ownFields = [
    "content", "owner", "values", "field_texts", "indexed_sha256", "content_missing", "deleted",
  ]

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
    var outcomes: [ViewOutcome] = []
    var (rest, entries, bytes) = (changes[...], [SearchIndex.Entry](), 0)
    func send() async throws {
      outcomes += try await index.write(entries, to: generation, overwrites: overwrites)
      (entries, bytes) = ([], 0)
    }
    while !rest.isEmpty {
      // Texts are in memory until they are sent: some at a time.
      let part = Array(rest.prefix(Self.parallelReads))
      rest = rest.dropFirst(part.count)
      for (change, content) in zip(part, try await contents(of: part)) {
        let entry = SearchIndex.Entry(
          id: change.id, fence: .version(change.version.value), document: Self.document(change, content))
        entries.append(entry)
        bytes += entry.document.count
      }
      if bytes >= SearchIndex.maximumBulk { try await send() }
    }
    if !entries.isEmpty { try await send() }
    return outcomes
  }

  private enum Content {
    /// There is nothing to index.
    case none
    case text(String, hash: String)
    case missing
  }

  private static func document(_ change: ViewChange, _ content: Content) -> [UInt8] {
    var writer = JSONWriter(reserving: 1_024)
    writer.object { writer in
      guard let row = change.after?.object else {
        writer.member("id", change.id)
        writer.member("version", change.version.value)
        writer.member("deleted", true)
        return
      }
      for member in row.members where member.name != fields { writer.member(member.name, member.value) }
      write(values: row["fields"]?.object?.members ?? [], &writer)
      if let creator = row["created_by"]?.string { writer.member("owner", ExactName(creator).text) }
      switch content {
      case .none: break
      case .text(let text, let hash):
        writer.member("content", text)
        writer.member("indexed_sha256", hash)
      case .missing: writer.member("content_missing", true)
      }
      writer.member("deleted", false)
    }
    return writer.bytes
  }

  // MARK: Fields of a type

  /// The row's member with the values, and what the index has of it.
  private static let (fields, fieldsText) = ("fields", "fields_json")

  /// Every value under the name of its field, in the form by which it is found: types may have as many fields as they like, the
  /// mapping has none of them.
  private static func write(values: [JSONObject.Member], _ writer: inout JSONWriter) {
    guard !values.isEmpty else { return }
    // As one text: Elasticsearch writes numbers anew, and not as they were.
    writer.member(fieldsText, JSONValue.object(JSONObject(values)).description)
    writer.objects("values", of: values) { writer, member in
      writer.member("name", member.name)
      switch member.value {
      case .string(let text):
        writer.member("keyword", text)
        if isDate(text) { writer.member("date", text) }
      case .integer, .number:
        if let number = member.value.double {
          writer.name("number")
          writer.double(number)
        }
      case .bool(let flag): writer.member("flag", flag)
      case .object(let money):
        if let amount = money["amount"]?.string.flatMap({ Double($0) }) {
          writer.name("number")
          writer.double(amount)
        }
        if let currency = money["currency"]?.string { writer.member("currency", currency) }
      case .array, .null: break
      }
    }
    writer.member("field_texts", values.compactMap(\.value.string))
  }

  /// A day, which may be a text that looks like one.
  private static func isDate(_ text: String) -> Bool { FieldKind.date.checked(.string(text), options: []) != nil }

  // MARK: Who may see it

  /// Finds the documents that somebody of these names and groups may see: his own, and those that are shared with him now. An index
  /// without shares has none.
  public static func visible(to names: Set<ExactName>, _ groups: Set<ExactName>) -> JSONValue {
    let (names, groups) = (names.map(\.text), groups.map(\.text))
    let grantees =
      names.map { "\(Grantee.Kind.user.rawValue):\($0)" } + groups.map { "\(Grantee.Kind.group.rawValue):\($0)" }
    let lasts: JSONValue = [
      "bool": [
        "should": [
          ["bool": ["must_not": [["exists": ["field": "shared.until"]]]]], ["range": ["shared.until": ["gt": "now"]]],
        ], "minimum_should_match": 1,
      ]
    ]
    return [
      "bool": [
        "should": [
          ["terms": ["owner": .array(names.map { .string($0) })]],
          [
            "nested": [
              "path": "shared", "ignore_unmapped": true,
              "query": ["bool": ["filter": [["terms": ["shared.with": .array(grantees.map { .string($0) })]], lasts]]],
            ]
          ],
        ], "minimum_should_match": 1,
      ]
    ]
  }

  // MARK: Content

  private static let parallelReads = 16

  private func contents(of changes: [ViewChange]) async throws -> [Content] {
    let wanted = changes.enumerated().compactMap { index, change in
      Self.wanted(change).map { (index: index, wanted: $0, change: change) }
    }
    let found = try await sideBySide(wanted) { ($0.index, try await content($0.wanted, of: $0.change)) }
    var contents = [Content](repeating: .none, count: changes.count)
    for (index, content) in found { contents[index] = content }
    return contents
  }

  private struct Wanted {
    let key: String
    let hash: String
    let length: Int
  }

  /// The text that belongs to a row; nil: none.
  private static func wanted(_ change: ViewChange) -> Wanted? {
    guard let row = change.after, let key = row["s3_key"]?.string, let type = row["content_type"]?.string,
      type.hasPrefix("text/") || type.hasPrefix("application/json"), let hash = row["content_sha256"]?.string
    else { return nil }
    // Content may be larger than memory: only the beginning is read.
    let length = min(Int(row["content_size"]?.integer ?? 0), maximumText)
    return length > 0 ? Wanted(key: key, hash: hash, length: length) : nil
  }

  private func content(_ wanted: Wanted, of change: ViewChange) async throws -> Content {
    if let known = texts.text(of: wanted.hash) { return .text(known, hash: wanted.hash) }
    do throws(S3Error) {
      let download = try await s3.read(wanted.key, range: 0..<wanted.length)
      var bytes: [UInt8] = []
      while let piece = try await download.next() { bytes += piece }
      let text = String(decoding: bytes, as: UTF8.self)
      texts.keep(text, of: wanted.hash)
      return .text(text, hash: wanted.hash)
    } catch {
      // One object that is archived, cut or may not be read must not stop all others.
      switch error {
      case .notFound, .refused(_, 403, _), .refused(_, 416, _): break
      default: throw error
      }
      // Without its bucket every object would be missing: that is waited for.
      guard try await s3.bucketExists() else { throw BucketMissing() }
      missing.increment()
      logger.error(
        "The object store does not have a document's content: it is indexed without its text, and annals verify names it",
        metadata: ["stream": "\(change.stream)", "key": wanted.key])
      return .missing
    }
  }

  /// The bucket of all contents is not there.
  struct BucketMissing: RetriableError, CustomStringConvertible {
    var isRetriable: Bool { true }
    var description: String { "the bucket for contents does not exist (s3.bucket): create or restore it" }
  }

  // MARK: Comparison

  public func entries(of change: ViewChange) -> [(id: String, row: ViewRow)] {
    let image = change.after.map { Self.image($0, indexed: Self.wanted(change)?.hash) }
    return [(change.id, ViewRow(version: change.version, image: image))]
  }

  /// The text for the comparison: the row, and the hash of the content that was indexed with it.
  private static func image(_ row: JSONValue, indexed hash: String?) -> String {
    String(decoding: rowImage(row), as: UTF8.self)
      + (hash.map { ", with the text of content \($0)" } ?? ", without a text")
  }

  private static let missingMark = "; the object store did not have its content"

  public func isExcused(_ found: ViewRow) -> Bool { found.image?.hasSuffix(Self.missingMark) ?? false }

  public func read(_ ids: [String], of generation: Int) async throws -> [String: ViewRow] {
    var rows: [String: ViewRow] = [:]
    for found in try await index.get(ids, without: ["content", "owner", "values", "field_texts"], of: generation) {
      let isDeleted = found.source["deleted"] == .bool(true)
      rows[found.id] = ViewRow(
        version: StreamVersion(found.version),
        image: isDeleted
          ? nil
          : Self.image(found.source, indexed: found.source["indexed_sha256"]?.string)
            + (found.source["content_missing"] == .bool(true) ? Self.missingMark : ""))
    }
    return rows
  }

  public func list(
    _ cursor: String?, of generation: Int
  ) async throws -> (entries: [(id: String, stream: StreamID)], next: String?) {
    let page = try await index.list(cursor, fields: ["id"], of: generation)
    return (page.entries.map { ($0.id, Document.stream($0.id)) }, page.next)
  }

  public func remove(_ ids: [String], of generation: Int) async throws {
    try await index.remove(ids, of: generation)
  }

  public func visibleVersion(of stream: StreamID, atLeast: StreamVersion) async throws -> StreamVersion? {
    guard let found = try await index.live(stream.id) else { return nil }
    // It is there, and searchable after a refresh.
    if found.version >= atLeast.value { try await index.refreshLive() }
    return StreamVersion(found.version)
  }

  /// Extracts the row image from a document of the index and restores the order of its fields, because not every engine
  /// keeps the order in which they were written.
  public static func rowImage(_ source: JSONValue) -> [UInt8] {
    var members = (source.object?.members ?? []).filter { !ownFields.contains($0.name) }
    for index in members.indices where members[index].name == fieldsText {
      guard let text = members[index].value.string, let values = try? JSONValue(parsing: Array(text.utf8)) else {
        continue
      }
      members[index] = .init(name: fields, value: values)
    }
    let row = JSONValue.object(JSONObject(members))
    do { return try Document(rowImage: row).rowImage } catch { return row.bytes }
  }
}
