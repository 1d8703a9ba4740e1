import HTTPServer
import Domain

/// Who may use which route: for each role, and each relation that a caller can have to the document or person.
public struct RightsTable: Sendable {
  /// What a document is to a caller, or a person.
  public struct Relation: Sendable {
    public let name: String
    let permissions: Permissions
    let isSelf: Bool
  }

  /// From nothing to everything. A share gives one more right beside viewing.
  public static let ofDocument = [
    Relation(name: "stranger", permissions: [], isSelf: false),
    Relation(name: "viewer", permissions: .view, isSelf: false),
    Relation(name: "signer", permissions: [.view, .sign], isSelf: false),
    Relation(name: "changer", permissions: [.view, .change], isSelf: false),
    Relation(name: "owner", permissions: .owner, isSelf: false),
  ]
  public static let ofPerson = [
    Relation(name: "other", permissions: [], isSelf: false), Relation(name: "self", permissions: [], isSelf: true),
  ]

  /// One cell: whether a role in a relation may use a route.
  public struct Cell: Sendable {
    public let role: Role
    /// nil: the route concerns no document and no person.
    public let relation: Relation?
    public let isAllowed: Bool
  }

  public struct Row: Sendable {
    public let route: Route
    /// Every role, in every relation that matters.
    public let cells: [Cell]
  }

  public let rows: [Row]

  public init(_ groups: [RouteGroup]) {
    rows = groups.flatMap(\.routes).map { route in
      let relations: [Relation?] =
        route.right.isOfDocument ? Self.ofDocument : route.right == .person ? Self.ofPerson : [nil]
      return Row(
        route: route,
        cells: Role.allCases.flatMap { role in
          relations.map { relation in
            Cell(
              role: role, relation: relation,
              isAllowed: route.right.isGiven(
                to: [role], with: relation?.permissions ?? [], isSelf: relation?.isSelf ?? false))
          }
        })
    }
  }

  public var markdown: String {
    let roles = Role.allCases.map(\.rawValue)
    let head =
      "| Route | Right | no token | \(roles.joined(separator: " | ")) |\n|---|---|---\(roles.map { _ in "|---" }.joined())|"
    let lines = rows.map { row in
      let cells = Role.allCases.map { role in Self.text(row.cells.filter { $0.role == role }) }
      return "| `\(row.route.method.rawValue) \(row.route.path)` | \(row.route.right.rawValue) | "
        + (row.route.right == .anyone ? "yes" : "no") + " | \(cells.joined(separator: " | ")) |"
    }
    let count = rows.reduce(0) { $0 + $1.cells.count + 1 }
    return ([head] + lines + ["", "\(rows.count) routes, \(count) cells."]).joined(separator: "\n")
  }

  private static func text(_ cells: [Cell]) -> String {
    if cells.allSatisfy(\.isAllowed) { return "yes" }
    let allowed = cells.filter(\.isAllowed).compactMap { $0.relation?.name }
    return allowed.isEmpty ? "no" : allowed.joined(separator: ", ")
  }
}
