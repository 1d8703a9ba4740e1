public import Events
public import Identifiers
import JSON
public import Time

/// A link that shows one version of a document to whoever has it, as its events have made it.
public struct ShareLink: Equatable, Sendable {
  public let id: UUID
  public let documentID: UUID
  /// The version that is shown, whatever becomes of the document later.
  public let shown: StreamVersion
  /// SHA-256 of the secret that is part of the link, in hexadecimal digits. The secret itself is nowhere.
  public let secretHash: String
  /// Nil: none is asked for.
  public let password: LinkPassword?
  public let expires: Time.Timestamp?
  public let maximumUses: Int64
  public let createdBy: String
  public let createdAt: Time.Timestamp
  public internal(set) var uses: Int64 = 0
  public internal(set) var lastUsedAt: Time.Timestamp?
  public internal(set) var revokedAt: Time.Timestamp?
  /// The stream's.
  public internal(set) var version: StreamVersion

  public static let defaultUses: Int64 = 1_000
  /// Each use is an event: a link is for people, not for a website.
  public static let mostUses: Int64 = 10_000
}

/// A password as it is kept: what scrypt makes of it.
public struct LinkPassword: Equatable, Sendable {
  /// In hexadecimal digits.
  public let salt: String
  public let hash: String

  public init(salt: String, hash: String) { (self.salt, self.hash) = (salt, hash) }
}

public enum ShareLinkCommand: Sendable {
  case create(
    id: UUID, document: UUID, shown: StreamVersion, secretHash: String, password: LinkPassword?,
    expires: Time.Timestamp?, maximumUses: Int64, by: String, at: Time.Timestamp)
  /// Somebody has it and knows the password.
  case use(what: String, address: String, at: Time.Timestamp)
  case revoke(at: Time.Timestamp)
}

public enum ShareLinkRefusal: Refusal, Equatable, Sendable {
  case notFound
  case exists
  case expiresInThePast
  case usesAreOutOfRange(most: Int64)
  case isRevoked
  case isExpired(Time.Timestamp)
  case isUsedUp

  public var kind: RefusalKind {
    switch self {
    case .notFound: .notFound
    case .exists: .conflict
    case .expiresInThePast, .usesAreOutOfRange: .invalid
    case .isRevoked, .isExpired, .isUsedUp: .gone
    }
  }

  public var field: String? {
    switch self {
    case .expiresInThePast: "/expires_at"
    case .usesAreOutOfRange: "/maximum_uses"
    case .notFound, .exists, .isRevoked, .isExpired, .isUsedUp: nil
    }
  }

  public var description: String {
    switch self {
    case .notFound: "there is no such link"
    case .exists: "a link with this id exists"
    case .expiresInThePast: "that time has passed: name a later one, or none"
    case .usesAreOutOfRange(let most): "a link may be used 1 to \(most) times"
    case .isRevoked: "the link was revoked"
    case .isExpired(let time): "the link ended at \(time)"
    case .isUsedUp: "the link was used as often as it may be"
    }
  }
}

extension ShareLink: Aggregate {
  public static let category: StaticString = "share_link"

  public var publishedRow: [UInt8]? { rowImage }

  public static func decide(
    _ command: ShareLinkCommand, _ state: ShareLink?
  ) throws(ShareLinkRefusal) -> [ShareLinkEvent] {
    if case .create(let id, let document, let shown, let secret, let password, let expires, let uses, let by, let at) =
      command
    {
      guard state == nil else { throw .exists }
      if let expires, expires <= at { throw .expiresInThePast }
      guard (1...mostUses).contains(uses) else { throw .usesAreOutOfRange(most: mostUses) }
      return [
        .created(
          id: id, document: document, shown: shown, secretHash: secret, password: password, expires: expires,
          maximumUses: uses, by: by, at: at)
      ]
    }
    guard let link = state else { throw .notFound }
    switch command {
    case .create: return []
    case .revoke(let at): return link.revokedAt == nil ? [.revoked(at: at)] : []
    case .use(let what, let address, let at):
      try link.check(at: at)
      return [.used(what: what, address: address, at: at)]
    }
  }

  /// - Throws: The reason why it cannot be used any more.
  public func check(at: Time.Timestamp) throws(ShareLinkRefusal) {
    if revokedAt != nil { throw .isRevoked }
    if let expires, expires <= at { throw .isExpired(expires) }
    if uses >= maximumUses { throw .isUsedUp }
  }

  public static func evolve(_ state: ShareLink?, _ event: ShareLinkEvent, at version: StreamVersion) -> ShareLink? {
    if case .created(
      let id, let document, let shown, let secret, let password, let expires, let uses, let by, let at) = event
    {
      return ShareLink(
        id: id, documentID: document, shown: shown, secretHash: secret, password: password, expires: expires,
        maximumUses: uses, createdBy: by, createdAt: at, version: version)
    }
    guard var link = state else { return nil }
    link.version = version
    switch event {
    case .created: break
    case .used(_, _, let at):
      link.uses += 1
      link.lastUsedAt = at
    case .revoked(let at): link.revokedAt = at
    }
    return link
  }

  /// The row image: the form of a link in change events and answers, without what would open it.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object {
      $0.member("id", id.description)
      $0.member("document_id", documentID.description)
      $0.member("document_version", shown.value)
      $0.member("has_password", password != nil)
      $0.member("expires_at", orNull: expires?.description)
      $0.member("maximum_uses", maximumUses)
      $0.member("uses", uses)
      $0.member("last_used_at", orNull: lastUsedAt?.description)
      $0.member("revoked_at", orNull: revokedAt?.description)
      $0.member("created_by", createdBy)
      $0.member("created_at", createdAt.description)
      $0.member("version", version.value)
    }
    return writer.bytes
  }
}
