public import Events
public import Identifiers
public import JSON
public import Time

/// A document as its events have made it.
public struct Document: Equatable, Sendable {
  public let id: UUID
  public internal(set) var title: String
  public internal(set) var content: DocumentContent?
  public internal(set) var status: DocumentStatus
  public let createdBy: String
  public let createdAt: Time.Timestamp
  public internal(set) var updatedAt: Time.Timestamp
  /// The stream's.
  public internal(set) var version: StreamVersion
  public internal(set) var isDeleted = false
  /// Its signatures, oldest first. They are no part of the row.
  public internal(set) var signatures: [UUID] = []

  /// The signing session that is open; nil: none. No part of the row.
  public internal(set) var openSession: UUID?
  /// What the participants of that session may do, while it is open. In the row they are among its shares.
  public internal(set) var sessionShares: [Share] = []
  /// Its signing sessions, oldest first. They are no part of the row.
  public internal(set) var sessions: [UUID] = []

  public static let maximumSessions = 1_000

  /// Links that show a version of it, those that were revoked too, oldest first. They are no part of the row.
  public internal(set) var links: [UUID] = []

  public static let maximumLinks = 1_000

  /// In the order of their bytes. Part of the row if there is one.
  public internal(set) var tags: [String] = []
  /// Its type and the fields of that type. Part of the row if it has a type.
  public internal(set) var custom: CustomFields?
  /// Names of versions, by version. They are no part of the row.
  public internal(set) var labels: [StreamVersion: String] = [:]

  /// How many versions of a document may have a label, and how long one may be, in bytes of UTF-8.
  public static let maximumLabels = 200
  public static let maximumLabel = 200

  /// With whom it is shared, in the order of their beginning. Part of the row if there is one: whoever has a row can say who may
  /// see it.
  public internal(set) var shares: [Share] = []

  /// How many signatures a document may have.
  public static let maximumSignatures = 1_000

  /// How long a title may be, in bytes of UTF-8: a character may have any number of them.
  public static let maximumTitle = 2_000
}

/// A document's content and its place in the object store. Each upload has a key of its own, so an object never changes.
public struct DocumentContent: Equatable, Sendable {
  public let type: String
  /// In bytes.
  public let size: Int64
  public let key: String
  /// SHA-256 of the bytes, in hexadecimal digits.
  public let hash: String

  public init(type: String, size: Int64, key: String, hash: String) {
    (self.type, self.size, self.key, self.hash) = (type, size, key, hash)
  }

  /// True for the same bytes under the same type, wherever they are.
  public func isSame(as other: DocumentContent) -> Bool {
    type == other.type && size == other.size && hash == other.hash
  }
}

extension Document {
  /// The row image: the form of a document in change events, views and answers. The order of the fields is fixed.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object {
      $0.member("id", id.description)
      $0.member("title", title)
      $0.member("content_type", orNull: content?.type)
      $0.name("content_size")
      if let content { $0.integer(content.size) } else { $0.null() }
      $0.member("s3_key", orNull: content?.key)
      $0.member("content_sha256", orNull: content?.hash)
      $0.member("status", status.rawValue)
      $0.member("created_by", createdBy)
      $0.member("created_at", createdAt.description)
      $0.member("updated_at", updatedAt.description)
      if !tags.isEmpty {
        $0.member("tags", tags)
      }
      custom?.writeMembers(&$0)
      if !shares.isEmpty || !sessionShares.isEmpty {
        $0.array("shared", of: shares + sessionShares) { $1.write(&$0) }
      }
      $0.member("version", version.value)
    }
    return writer.bytes
  }

  /// Reads a row image from a change event or a view.
  public init(rowImage value: JSONValue) throws(JSONError) {
    var fields = try JSONFields(value)
    id = try fields.required("id")
    title = try fields.required("title")
    let type = try fields.optional("content_type", as: String.self)
    let size = try fields.optional("content_size", as: Int64.self)
    let key = try fields.optional("s3_key", as: String.self)
    let hash = try fields.optional("content_sha256", as: String.self)
    if let type, let size, let key, let hash {
      content = DocumentContent(type: type, size: size, key: key, hash: hash)
    } else {
      content = nil
    }
    status = try fields.required("status")
    createdBy = try fields.required("created_by")
    createdAt = try fields.required("created_at")
    updatedAt = try fields.required("updated_at")
    tags = try fields.optional("tags", as: JSONValue.self)?.array?.compactMap(\.string) ?? []
    custom = try CustomFields.read(&fields)
    shares = try fields.optional("shared", as: JSONValue.self)?.array.map(Self.shares) ?? []
    version = StreamVersion(try fields.required("version"))
  }
}

extension Document {
  private static func shares(_ values: [JSONValue]) throws(JSONError) -> [Share] {
    var shares: [Share] = []
    for value in values { shares.append(try Share(json: value)) }
    return shares
  }
}

extension DocumentStatus: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    guard let value = DocumentStatus(rawValue: text) else {
      throw JSONError(
        .invalid(text, remedy: "one of \(DocumentStatus.allCases.map(\.rawValue).joined(separator: ", "))"))
    }
    self = value
  }
}
