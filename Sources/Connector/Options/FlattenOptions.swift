/// Options of Debezium's ExtractNewRecordState (its documentation, “New Record State Extraction”, 3.6): only the row's
/// new state is sent, not the whole change event.
struct FlattenOptions: Sendable {
  /// `delete.tombstone.handling.mode`
  enum Deletions: String, CaseIterable {
    case drop, tombstone, rewrite
    case rewriteWithTombstone = "rewrite-with-tombstone"
    case deleteToTombstone = "delete-to-tombstone"

    var isRewritten: Bool { self == .rewrite || self == .rewriteWithTombstone }
  }

  /// A field of the event that is added to the row.
  struct Addition: Equatable {
    enum Part: String { case source, transaction, before, after }
    /// nil: the envelope itself.
    let part: Part?
    let field: String
    let name: String

    /// Parses `field` or `part.field`, either followed by an optional `:name`; nil if the event has no such field.
    init?(_ text: String, prefix: String) {
      let halves = text.split(separator: ":", maxSplits: 1).map(String.init)
      guard let path = halves.first else { return nil }
      let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
      if parts.count == 2 {
        guard let part = Part(rawValue: parts[0]) else { return nil }
        (self.part, field) = (part, parts[1])
      } else {
        part = Self.envelope.contains(path) ? nil : .source
        field = path
      }
      name = prefix + (halves.count == 2 ? halves[1] : parts.joined(separator: "_"))
      switch part {
      case nil, .before, .after: break
      case .source: if Self.sourceTypes[field] == nil { return nil }
      case .transaction: if Self.transactionTypes[field] == nil { return nil }
      }
    }

    static let envelope = ["op", "ts_ms", "ts_us", "ts_ns"]
    static let transactionTypes = ["id": "string", "total_order": "int64", "data_collection_order": "int64"]
    static let sourceTypes = [
      "version": "string", "connector": "string", "name": "string", "ts_ms": "int64", "snapshot": "string",
      "db": "string", "sequence": "string", "ts_us": "int64", "ts_ns": "int64", "schema": "string", "table": "string",
      "txId": "int64", "lsn": "int64", "xmin": "int64", "origin": "string", "origin_lsn": "int64",
    ]
  }

  var deletions = Deletions.tombstone
  var fields: [Addition] = []
  var headers: [Addition] = []
  /// True if any field of the `source` block is sent.
  var readsSource: Bool { (fields + headers).contains { $0.part == .source } }
  /// `route.by.field`: the column whose value is the topic.
  var routeField: String?
}
