public import Events
public import Identifiers
public import JSON
public import Time

/// A document that a saved search has found. Its stream is named by both, so that a document is found once.
public struct SearchHit: Equatable, Sendable {
  public let search: UUID
  /// The search's name when it found the document.
  public let name: String
  public let owner: String
  public let document: UUID
  /// The version of the document that was found.
  public let documentVersion: StreamVersion
  public let at: Time.Timestamp
  /// The stream's.
  public let version: StreamVersion

  /// The id of the stream of a search's hit on a document. Those of one search lie together.
  public static func id(_ search: UUID, _ document: UUID) -> String { "\(search).\(document)" }
}

/// A request to note a hit.
public struct SearchHitCommand: Sendable {
  let event: SearchHitEvent

  public init(
    search: UUID, name: String, owner: String, document: UUID, documentVersion: StreamVersion, at: Time.Timestamp
  ) {
    event = .found(
      search: search, name: name, owner: owner, document: document, documentVersion: documentVersion, at: at)
  }
}

public enum SearchHitRefusal: Refusal, Equatable, Sendable {
  case foundBefore

  public var kind: RefusalKind { .conflict }
  public var description: String { "the search has found the document before" }
}

/// An event of a hit.
public enum SearchHitEvent: DomainEvent, Equatable {
  case found(
    search: UUID, name: String, owner: String, document: UUID, documentVersion: StreamVersion, at: Time.Timestamp)
}

extension SearchHit: Aggregate {
  public static let category: StaticString = "search_hit"

  public var publishedRow: [UInt8]? { rowImage }

  public static func decide(
    _ command: SearchHitCommand, _ state: SearchHit?
  ) throws(SearchHitRefusal) -> [SearchHitEvent] {
    guard state == nil else { throw .foundBefore }
    return [command.event]
  }

  public static func evolve(_ state: SearchHit?, _ event: SearchHitEvent, at version: StreamVersion) -> SearchHit? {
    switch event {
    case .found(let search, let name, let owner, let document, let found, let at):
      SearchHit(
        search: search, name: name, owner: owner, document: document, documentVersion: found, at: at, version: version)
    }
  }

  /// The row image: the form of a hit in change events and answers.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 256)
    writer.object {
      $0.member("search_id", search.description)
      $0.member("search_name", name)
      $0.member("owner", owner)
      $0.member("document_id", document.description)
      $0.member("document_version", documentVersion.value)
      $0.member("found_at", at.description)
      $0.member("version", version.value)
    }
    return writer.bytes
  }
}

/// The stored form. Tests/DomainTests/Fixtures has every form that was ever written.
extension SearchHitEvent {
  public var type: String { "SearchHitFound" }

  public static let schemaVersions: [String: Int32] = ["SearchHitFound": 1]

  public static let personalFields: [String: [String]] = ["SearchHitFound": ["search_name", "owner"]]

  public var data: [UInt8] {
    var writer = JSONWriter(reserving: 256)
    switch self {
    case .found(let search, let name, let owner, let document, let version, let at):
      writer.object {
        $0.member("search", search.description)
        $0.member("search_name", name)
        $0.member("owner", owner)
        $0.member("document", document.description)
        $0.member("document_version", version.value)
        $0.member("at", at.description)
      }
    }
    return writer.bytes
  }

  public init(type: String, fields: inout JSONFields) throws(JSONError) {
    guard type == "SearchHitFound" else {
      throw JSONError(.invalid(type, remedy: "no event of a search's hit has this type"))
    }
    self = .found(
      search: try fields.required("search"), name: try fields.required("search_name"),
      owner: try fields.required("owner"), document: try fields.required("document"),
      documentVersion: StreamVersion(try fields.required("document_version")), at: try fields.required("at"))
  }
}
