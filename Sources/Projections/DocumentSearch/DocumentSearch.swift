import Domain
public import Elasticsearch
import Events
import HTTPClient
public import JSON
public import S3

/// Documents in Elasticsearch: the row image and the content's text. Readers use an alias; the index's name contains
/// the view's version.
///
/// Writes use the stream's version as external version, so an older change never overwrites a newer one. A deletion
/// writes a marker with the version: Elasticsearch forgets the versions of deleted documents after `index.gc_deletes`,
/// and a late redelivery would then restore the document. The alias excludes the markers.
public struct DocumentSearch: View {
  public let name = "document-search"
  public let categories = ["\(Document.category)"]
  private let elasticsearch: ElasticsearchClient
  private let s3: S3Client
  /// Alias through which readers use the index.
  public let alias: String

  /// Version of the mapping and of the documents' form. A new version creates a new index and keeps the old one.
  public static let version = 1
  /// Maximum size of an indexed text, in bytes. Only the beginning of a longer text is indexed.
  static let maximumText = 1 << 20

  public var index: String { "\(alias)-\(Self.version)" }

  public init(_ elasticsearch: ElasticsearchClient, content: S3Client, alias: String = "documents") {
    (self.elasticsearch, s3, self.alias) = (elasticsearch, content, alias)
  }

  public func prepare() async throws {
    let operation = "creating the index \(index)"
    let body = #"{"settings":\#(Self.settings),"mappings":\#(Self.mappings),"aliases":{"\#(alias)":\#(Self.alive)}}"#
    let (status, answer) = try await elasticsearch.send(
      .put, "/\(index)", Array(body.utf8), operation: operation, accepting: [400])
    guard status == 400 else { return }
    let reason = answer["error"]?["type"]?.string ?? ""
    guard reason == "resource_already_exists_exception" else {
      throw ElasticsearchError.refused(operation: operation, status: status, reason: answer.description)
    }
  }

  /// Filter of the alias: hides the markers of deleted documents from all readers, including operators.
  private static let alive = #"{"filter":{"bool":{"must_not":{"term":{"deleted":true}}}}}"#
  private static let settings = #"{"number_of_shards":1,"number_of_replicas":0,"refresh_interval":"500ms"}"#
  private static let mappings = """
    {"dynamic":"strict","properties":{
      "id":{"type":"keyword"},
      "title":{"type":"text","fields":{"keyword":{"type":"keyword","ignore_above":1024}}},
      "content_type":{"type":"keyword"},
      "content_size":{"type":"long"},
      "s3_key":{"type":"keyword","index":false},
      "content_sha256":{"type":"keyword","index":false},
      "status":{"type":"keyword"},
      "created_by":{"type":"text","fields":{"keyword":{"type":"keyword","ignore_above":1024}}},
      "created_at":{"type":"date"},
      "updated_at":{"type":"date"},
      "version":{"type":"long"},
      "content":{"type":"text"},
      "deleted":{"type":"boolean"}
    }}
    """

  public func apply(_ changes: [ViewChange]) async throws {
    // A bulk request ends above this size: Elasticsearch refuses 100 MiB, and each text is in memory until then.
    let maximumBulk = 8 << 20
    var (rest, body, count) = (changes[...], [UInt8](), 0)
    while !rest.isEmpty {
      let part = Array(rest.prefix(16))
      rest = rest.dropFirst(16)
      for (change, text) in zip(part, try await texts(of: part)) {
        body += action(change, text)
        count += 1
        if body.count >= maximumBulk {
          try await send(body, count)
          (body, count) = ([], 0)
        }
      }
    }
    if count > 0 { try await send(body, count) }
  }

  private func action(_ change: ViewChange, _ text: String?) -> [UInt8] {
    var line = JSONWriter()
    line.object {
      $0.name("index")
      $0.object {
        $0.member("_index", index)
        $0.member("_id", change.id)
        $0.member("version", change.version.value)
        $0.member("version_type", "external")
      }
    }
    return line.bytes + [0x0A] + Self.document(change, text: text) + [0x0A]
  }

  private func send(_ body: [UInt8], _ count: Int) async throws {
    let (_, answer) = try await elasticsearch.send(
      .post, "/_bulk", body, contentType: "application/x-ndjson", operation: "indexing \(count) documents")
    try check(answer)
  }

  static func document(_ change: ViewChange, text: String?) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      if let row = change.after?.object {
        for member in row.members { writer.member(member.name, member.value) }
        if let text { writer.member("content", text) }
        writer.member("deleted", false)
      } else {
        writer.member("id", change.id)
        writer.member("version", change.version.value)
        writer.member("deleted", true)
      }
    }
    return writer.bytes
  }

  /// Throws if a document was refused. A version conflict (409) is not a failure: the index has a newer version.
  private func check(_ answer: JSONValue) throws(ElasticsearchError) {
    for item in answer["items"]?.array ?? [] {
      guard let result = item["index"], let status = result["status"]?.integer, status >= 300, status != 409 else {
        continue
      }
      throw .refused(
        operation: "indexing \(result["_id"]?.string ?? "")", status: Int(status),
        reason: result["error"]?.description ?? "")
    }
  }

  // MARK: Content

  private func texts(of changes: [ViewChange]) async throws -> [String?] {
    try await withThrowingTaskGroup(of: (Int, String?).self) { group in
      var texts = [String?](repeating: nil, count: changes.count)
      var next = 0
      func add() {
        guard next < changes.count else { return }
        let (index, change) = (next, changes[next])
        next += 1
        group.addTask { (index, try await text(of: change)) }
      }
      for _ in 0..<16 { add() }
      while let (index, text) = try await group.next() {
        texts[index] = text
        add()
      }
      return texts
    }
  }

  private func text(of change: ViewChange) async throws -> String? {
    guard let key = change.after?["s3_key"]?.string, let type = change.after?["content_type"]?.string,
      type.hasPrefix("text/") || type.hasPrefix("application/json")
    else { return nil }
    // Content may be larger than memory: only the beginning is read.
    let length = min(Int(change.after?["content_size"]?.integer ?? 0), Self.maximumText)
    guard length > 0 else { return nil }
    do throws(S3Error) {
      let download = try await s3.read(key, range: 0..<length)
      var bytes: [UInt8] = []
      while let piece = try await download.next() { bytes += piece }
      return String(decoding: bytes, as: UTF8.self)
    } catch {
      // The object store has no content under this key: only the row is indexed.
      if case .notFound = error { return nil }
      throw error
    }
  }

  // MARK: Comparison

  public func read(_ ids: [String]) async throws -> [String: ViewRow] {
    var writer = JSONWriter()
    writer.object {
      $0.name("ids")
      $0.array { for id in ids { $0.element(); $0.string(id) } }
    }
    let (_, answer) = try await elasticsearch.send(
      .post, "/\(index)/_mget", writer.bytes, operation: "reading \(ids.count) documents")
    var rows: [String: ViewRow] = [:]
    for document in answer["docs"]?.array ?? [] {
      guard let id = document["_id"]?.string, let source = document["_source"]?.object,
        let version = document["_version"]?.integer
      else { continue }
      let isDeleted = source["deleted"] == .bool(true)
      rows[id] = ViewRow(
        version: StreamVersion(version),
        image: isDeleted ? nil : String(decoding: Self.rowImage(.object(source)), as: UTF8.self))
    }
    return rows
  }

  /// Extracts the row image from a document of the index and restores the order of its fields, because not every engine
  /// keeps the order in which they were written.
  public static func rowImage(_ source: JSONValue) -> [UInt8] {
    let row = JSONValue.object(
      JSONObject((source.object?.members ?? []).filter { $0.name != "content" && $0.name != "deleted" }))
    do { return try Document(rowImage: row).rowImage } catch { return row.bytes }
  }
}
