import Domain
import HTTPServer
import Time

/// Who sends a request, and what that gives him.
public struct Caller: Sendable {
  /// Recorded in every event; nil: nobody said, so the request may name somebody.
  public let actor: String?
  /// Names by which documents are owned and shared: a token's subject and its address.
  public let names: Set<String>
  public let groups: Set<String>
  public let roles: Set<Role>
  /// When the token ends, in seconds since 1970; nil: there is none.
  public let expires: Int64?

  /// Somebody without a token, in development: everything is allowed.
  static func developer(_ actor: String?) -> Caller {
    Caller(actor: actor, names: [], groups: [], roles: [.admin], expires: nil)
  }

  static let nobody = Caller(actor: nil, names: [], groups: [], roles: [], expires: nil)

  init(actor: String?, names: Set<String>, groups: Set<String>, roles: Set<Role>, expires: Int64?) {
    (self.actor, self.names, self.groups) = (actor, names, groups)
    (self.roles, self.expires) = (roles, expires)
  }

  public var isAdmin: Bool { roles.contains(.admin) }
  /// True if no document is hidden from it.
  public var seesAll: Bool { Right.overview.isGiven(to: roles) }

  /// True if this is one of its names. Addresses are compared in lower case.
  func isCalled(_ name: String) -> Bool {
    names.contains(name) || name.contains("@") && names.contains(name.lowercased())
  }

  /// How long its token is still valid; a day without one.
  var left: Duration {
    guard let expires else { return .seconds(86_400) }
    return .microseconds(expires * 1_000_000 - Timestamp.now().microseconds)
  }

  /// What it may do with a document.
  func permissions(on document: Document, at now: Timestamp = .now()) -> Permissions {
    document.permissions(names: names, groups: groups, at: now)
  }

  /// Keeps a request from acting in the name of somebody else.
  ///
  /// - Parameters:
  ///   - name: Whom the request names.
  ///   - field: Where.
  func require(name: String, in field: String) throws(Problem) {
    guard !isAdmin, !isCalled(name) else { return }
    throw Problem(
      403, "Forbidden", detail: "“\(name.prefix(80))” is not the caller: use the token's sub or email, or be an admin",
      field: field)
  }
}
