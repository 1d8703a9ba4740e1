public import Events
public import Identifiers
public import JSON
public import Time

/// The searches that somebody has saved, as events have made them. Each is run again whenever a document changes.
public struct SearchList: Equatable, Sendable {
  public struct Search: Equatable, Sendable {
    public let id: UUID
    public let name: String
    /// The parameters of `/search`, by name.
    public let query: JSONObject
    public let createdAt: Time.Timestamp
  }

  public let owner: String
  /// By which rights the searches are run: those of the owner when a search was saved last.
  public internal(set) var reader: StandingRights
  /// Oldest first.
  public internal(set) var searches: [Search] = []
  /// The stream's.
  public internal(set) var version: StreamVersion

  /// How many searches somebody may save.
  public static let maximum = 100
  /// How long a name may be, in bytes of UTF-8, and a query, in bytes of JSON.
  public static let maximumName = 200
  public static let maximumQuery = 4_096

  public func search(_ id: UUID) -> Search? { searches.first { $0.id == id } }
}

public enum SearchListCommand: Sendable {
  case save(id: UUID, name: String, query: JSONObject, owner: String, reader: StandingRights, at: Time.Timestamp)
  case remove(id: UUID, at: Time.Timestamp)
}

public enum SearchListRefusal: Refusal, Equatable, Sendable {
  case notFound
  case nameIsMalformed
  case queryIsTooLong
  case tooMany(limit: Int)

  public var kind: RefusalKind {
    switch self {
    case .notFound: .notFound
    case .nameIsMalformed, .queryIsTooLong: .invalid
    case .tooMany: .conflict
    }
  }

  public var field: String? {
    switch self {
    case .notFound, .tooMany: nil
    case .nameIsMalformed: "/name"
    case .queryIsTooLong: "/query"
    }
  }

  public var description: String {
    switch self {
    case .notFound: "there is no such saved search"
    case .nameIsMalformed:
      "a name has 1 to \(SearchList.maximumName) bytes of UTF-8, not all of them blank, and no character U+0000"
    case .queryIsTooLong: "a query has at most \(SearchList.maximumQuery) bytes of JSON"
    case .tooMany(let limit): "at most \(limit) searches are saved: delete one"
    }
  }
}

extension SearchList: Aggregate {
  public static let category: StaticString = "search_list"

  public var publishedRow: [UInt8]? { rowImage }

  public static func decide(
    _ command: SearchListCommand, _ state: SearchList?
  ) throws(SearchListRefusal) -> [SearchListEvent] {
    switch command {
    case .save(let id, let name, let query, let owner, let reader, let at):
      guard name.isReadable(upTo: maximumName) else { throw .nameIsMalformed }
      guard JSONValue.object(query).bytes.count <= maximumQuery else { throw .queryIsTooLong }
      guard (state?.searches.count ?? 0) < maximum else { throw .tooMany(limit: maximum) }
      return [.saved(id: id, name: name, query: query, owner: owner, reader: reader, at: at)]
    case .remove(let id, let at):
      guard state?.search(id) != nil else { throw .notFound }
      return [.removed(id: id, at: at)]
    }
  }

  public static func evolve(_ state: SearchList?, _ event: SearchListEvent, at version: StreamVersion) -> SearchList? {
    switch event {
    case .saved(let id, let name, let query, let owner, let reader, let at):
      var list = state ?? SearchList(owner: owner, reader: reader, version: version)
      (list.reader, list.version) = (reader, version)
      list.searches.append(Search(id: id, name: name, query: query, createdAt: at))
      return list
    case .removed(let id, _):
      guard var list = state else { return nil }
      list.version = version
      list.searches.removeAll { $0.id == id }
      return list
    }
  }

  /// The row image: the form of a list in change events.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 1_024)
    writer.object { writer in
      writer.member("owner", owner)
      writer.array("searches", of: searches) { $1.write(&$0) }
      writer.member("version", version.value)
    }
    return writer.bytes
  }
}

extension SearchList.Search {
  public func write(_ writer: inout JSONWriter) {
    writer.object {
      $0.member("id", id.description)
      $0.member("name", name)
      $0.member("query", .object(query))
      $0.member("created_at", createdAt.description)
    }
  }
}
