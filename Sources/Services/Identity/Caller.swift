import JSON
public import Domain
import HTTPServer
import Time

/// Who sends a request, and what that gives him.
public struct Caller: Sendable {
  /// Recorded in every event; nil: nobody said, so the request may name somebody.
  public let actor: String?
  /// Names by which documents are owned and shared: a token's subject and its address.
  public let names: Set<ExactName>
  public let groups: Set<ExactName>
  public let roles: Set<Role>
  /// When the token ends, in seconds since 1970; nil: there is none.
  public let expires: Int64?

  /// Somebody without a token, in development: everything is allowed.
  static func developer(_ actor: String?) -> Caller {
    Caller(actor: actor, names: [], groups: [], roles: [.admin], expires: nil)
  }

  static let nobody = Caller(actor: nil, names: [], groups: [], roles: [], expires: nil)

  init(actor: String?, names: Set<ExactName>, groups: Set<ExactName>, roles: Set<Role>, expires: Int64?) {
    (self.actor, self.names, self.groups) = (actor, names, groups)
    (self.roles, self.expires) = (roles, expires)
  }

  /// Whose work goes on while he is away.
  ///
  /// - Parameter rights: Those that he had when he asked for it.
  init(owner: String, rights: StandingRights) {
    self.init(
      actor: owner, names: Set(rights.names.map { ExactName($0) }), groups: Set(rights.groups.map { ExactName($0) }),
      roles: rights.forAll ? [.auditor] : [], expires: nil)
  }

  public var isAdmin: Bool { roles.contains(.admin) }
  /// True if no document is hidden from it.
  public var seesAll: Bool { Right.overview.isGiven(to: roles) }

  /// True if this is one of its names.
  func isCalled(_ name: String) -> Bool { names.contains(ExactName(name)) }

  /// True for what this caller has made under its name.
  func isOwner(_ name: String) -> Bool { isCalled(name) || ExactName(owner) == ExactName(name) }

  /// The name under which it keeps things of its own.
  var owner: String { actor ?? "anonymous" }

  /// Later work in its name goes by these rights.
  func standingRights(forAll: Bool) -> StandingRights {
    StandingRights(forAll: forAll, names: names.map(\.text).sorted(), groups: groups.map(\.text).sorted())
  }

  /// A row as this caller may see it: with whom it is shared is for those who have the right to its history.
  func shown(_ row: [UInt8]) throws -> [UInt8] {
    guard !seesAll else { return row }
    return shown(try Document(rowImage: JSONValue(parsing: row)))
  }

  func shown(_ document: Document) -> [UInt8] {
    guard !seesAll, !document.shares.isEmpty || !document.sessionShares.isEmpty,
      !permissions(on: document).contains(.own)
    else {
      return document.rowImage
    }
    return document.withoutShares.rowImage
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
