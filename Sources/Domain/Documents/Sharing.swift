public import JSON
public import Time

/// A name of a person or group. It is compared byte by byte; one with “@” is an address, whose letters A to Z have no case.
public struct ExactName: Hashable, Sendable {
  private let bytes: [UInt8]

  public init(_ text: String) {
    let isAddress = text.utf8.contains(UInt8(ascii: "@"))
    bytes = text.utf8.map { isAddress && (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
  }

  public var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// A person or a group with whom a document is shared: `user:jane@example.com`, `group:legal`.
public struct Grantee: Hashable, Sendable, CustomStringConvertible {
  public enum Kind: String, CaseIterable, Sendable { case user, group }

  public let kind: Kind
  /// A user's name is what a token's `sub` or `email` says.
  public let exactName: ExactName
  public var name: String { exactName.text }

  /// How long a name may be, in bytes of UTF-8.
  public static let maximumName = 200

  public init(_ kind: Kind, _ name: String) {
    (self.kind, exactName) = (kind, ExactName(name))
  }

  /// Reads `user:…` or `group:…`.
  ///
  /// - Returns: nil for any other text, and for a name that is blank, has control characters or is too long.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let kind = Kind(rawValue: String(parts[0])) else { return nil }
    guard (1...Self.maximumName).contains(parts[1].utf8.count), parts[1].contains(where: { !$0.isWhitespace }),
      parts[1].utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
    else { return nil }
    self.init(kind, String(parts[1]))
  }

  public var description: String { "\(kind.rawValue):\(name)" }
}

/// What somebody may do with a document.
public struct Permissions: OptionSet, Hashable, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  public static let view = Permissions(rawValue: 1)
  public static let change = Permissions(rawValue: 2)
  public static let sign = Permissions(rawValue: 4)
  /// Share it with others, and see its history.
  public static let own = Permissions(rawValue: 8)

  public static let owner: Permissions = [.view, .change, .sign, .own]

  /// What can be shared, by name.
  public static let shareable: [(name: String, permission: Permissions)] = [
    ("view", .view), ("change", .change), ("sign", .sign),
  ]

  /// The names of those that can be shared, in a fixed order.
  public var names: [String] { Self.shareable.filter { contains($0.permission) }.map(\.name) }

  /// Reads names. Whoever may change or sign may view as well.
  ///
  /// - Returns: nil if one is unknown, or if there is none.
  public init?(names: [String]) {
    var permissions = Permissions()
    for name in names {
      guard let known = Self.shareable.first(where: { $0.name == name }) else { return nil }
      permissions.formUnion([.view, known.permission])
    }
    guard !permissions.isEmpty else { return nil }
    self = permissions
  }
}

/// A document's sharing with one grantee.
public struct Share: Equatable, Sendable {
  public let with: Grantee
  public let permissions: Permissions
  /// It has no effect from this moment on; nil: it has no end.
  public let until: Time.Timestamp?

  public init(with grantee: Grantee, _ permissions: Permissions, until: Time.Timestamp?) {
    (with, self.permissions, self.until) = (grantee, permissions, until)
  }
}

extension Grantee: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    guard let grantee = Grantee(text) else {
      throw JSONError(
        .invalid(
          String(text.prefix(80)),
          remedy: "user:NAME or group:NAME, the name of 1 to \(Self.maximumName) bytes, not all of them blank"))
    }
    self = grantee
  }
}

extension Share: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    // What was stored is not checked again: one row must not make a page unreadable.
    let parts = try fields.required("with", as: String.self).split(separator: ":", maxSplits: 1)
    guard parts.count == 2, let kind = Grantee.Kind(rawValue: String(parts[0])) else {
      throw JSONError(.invalid(String(parts.joined(separator: ":").prefix(80)), remedy: "user:NAME or group:NAME"))
    }
    try self.init(with: Grantee(kind, String(parts[1])), &fields)
  }

  /// Reads what is shared; the grantee is known.
  init(with grantee: Grantee, _ fields: inout JSONFields) throws(JSONError) {
    let rights = try fields.required("rights", as: JSONValue.self)
    guard let permissions = Permissions(names: (rights.array ?? []).compactMap(\.string)) else {
      throw JSONError(.invalid(rights.description, remedy: "some of view, change, sign"))
    }
    self.init(with: grantee, permissions, until: try fields.optional("until"))
  }

  public func write(_ writer: inout JSONWriter) {
    writer.object {
      $0.member("with", with.description)
      writeTerms(&$0)
    }
  }

  /// The members beside the grantee.
  func writeTerms(_ writer: inout JSONWriter) {
    writer.member("rights", permissions.names)
    if let until { writer.member("until", until.description) }
  }
}

extension Document {
  /// Without its shares, for those who may not see them.
  public var withoutShares: Document {
    var document = self
    (document.shares, document.sessionShares) = ([], [])
    return document
  }

  /// How many grantees a document may be shared with.
  public static let maximumShares = 200

  /// What somebody of these names and groups may do at a time.
  ///
  /// - Parameter names: Each is compared with the creator's and with those of shares with users.
  public func permissions(names: Set<ExactName>, groups: Set<ExactName>, at now: Time.Timestamp) -> Permissions {
    var permissions: Permissions = names.contains(ExactName(createdBy)) ? .owner : []
    for share in shares + sessionShares {
      if let until = share.until, until <= now { continue }
      let isMeant =
        switch share.with.kind {
        case .user: names.contains(share.with.exactName)
        case .group: groups.contains(share.with.exactName)
        }
      if isMeant { permissions.formUnion(share.permissions) }
    }
    return permissions
  }
}
