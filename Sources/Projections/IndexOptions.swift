/// How the indexes of this installation are made.
public struct IndexOptions: Sendable {
  public var shards: Int
  /// nil: one replica where there is a second node to have it.
  public var replicas: Int?
  /// How long it may take until an entry is searchable. nil: a second while the index is searched; the first search after half a
  /// minute without one waits for what came meanwhile (Elasticsearch's `index.search.idle.after`).
  public var refresh: Duration?

  public init(shards: Int = 1, replicas: Int? = nil, refresh: Duration? = .milliseconds(500)) {
    (self.shards, self.replicas, self.refresh) = (shards, replicas, refresh)
  }

  var json: String {
    let copies = replicas.map { #""number_of_replicas":\#($0)"# } ?? #""auto_expand_replicas":"0-1""#
    let interval = refresh.map { #","refresh_interval":"\#(Int64($0 / .milliseconds(1)))ms""# } ?? ""
    return #"{"number_of_shards":\#(shards),\#(copies)\#(interval)}"#
  }

  /// For an index that is written much more often than it is searched: each refresh costs as much as many writes.
  /// An interval of more than a second stays.
  var seldomSearched: IndexOptions {
    IndexOptions(shards: shards, replicas: replicas, refresh: refresh.flatMap { $0 > .seconds(1) ? $0 : nil })
  }
}
