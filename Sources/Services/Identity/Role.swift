public import Domain

/// What a caller is to the whole installation, as its token says.
public enum Role: String, CaseIterable, Sendable {
  /// May do everything.
  case admin
  /// Creates documents, and works with its own and with those that are shared with it.
  case user
  /// Views and signs what is shared with it.
  case guest
  /// Views everything, its history too, and changes nothing.
  case auditor
}

/// The right that a route asks for.
///
/// Rights of a document concern the one that the route's `{id}`, or its field `document_id`, names.
public enum Right: String, Sendable, CaseIterable {
  /// Everybody, without identification.
  case anyone
  /// Everybody who says who he is. What the answer has is limited to what he may see.
  case identified
  /// Create documents.
  case create
  /// See what tells of all documents together.
  case overview
  /// Ask about the person that the route's `{email}` names.
  case person
  /// View a document.
  case view
  /// Change a document.
  case change
  /// Sign a document.
  case sign
  /// See a document's history, and with whom it is shared.
  case audit
  /// Share a document, or delete it.
  case own
  /// Operate the installation.
  case operate

  /// True if it concerns one document.
  public var isOfDocument: Bool {
    switch self {
    case .view, .change, .sign, .audit, .own: true
    case .anyone, .identified, .create, .overview, .person, .operate: false
    }
  }

  /// Whether a caller has the right.
  ///
  /// - Parameters:
  ///   - permissions: On the document that the right concerns. A document's owner has all of them.
  ///   - isSelf: The caller is the person that the right concerns.
  public func isGiven(to roles: Set<Role>, with permissions: Permissions = [], isSelf: Bool = false) -> Bool {
    if self == .anyone || roles.contains(.admin) { return true }
    guard !roles.isEmpty else { return false }
    let isAuditor = roles.contains(.auditor)
    return switch self {
    case .anyone, .identified: true
    case .create: roles.contains(.user)
    case .overview: isAuditor
    case .person: isAuditor || isSelf
    case .view: isAuditor || permissions.contains(.view)
    case .change: roles.contains(.user) && permissions.contains(.change)
    case .sign: (roles.contains(.user) || roles.contains(.guest)) && permissions.contains(.sign)
    case .audit: isAuditor || permissions.contains(.own)
    case .own: roles.contains(.user) && permissions.contains(.own)
    case .operate: false
    }
  }
}
