import CommandLine
import Configuration
import Services

extension Commands {
  private static let subject = Option<String>(argument: "subject", "Whose token it is (sub).")
  private static let email = Option<String>("email", default: "", "The address (email).")
  private static let role = Option<String>(
    "role", default: "", "Roles, separated by commas: \(Role.allCases.map(\.rawValue).joined(separator: ", ")).")
  private static let group = Option<String>("group", default: "", "Groups, separated by commas.")
  private static let lifetime = Option<Duration>(
    "lifetime", default: DevelopmentTokens.lifetime, "How long it is valid.")

  static let token = Command(
    "token", "Make a token, signed with auth.secret or, in development, with its own.",
    options: [subject.description, email.description, role.description, group.description, lifetime.description],
    examples: [
      ("annals token jane --email jane@example.com", "a user's token"),
      ("annals token ops --role admin --lifetime 10m", "an admin's, for ten minutes"),
    ]
  ) { arguments in
    let runtime = try Runtime(arguments)
    func list(_ text: String) -> [String] { text.split(separator: ",").map { String($0) } }
    let roles = try list(arguments[role]).map { name in
      guard let role = Role(rawValue: name) else {
        throw UsageError("--role: “\(name)” is none of \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return role
    }
    guard runtime.settings[IdentitySettings.mode] == .development || runtime.hasSecret else {
      throw UsageError("there is no auth.secret to sign with; in development ask for auth.mode=development")
    }
    let address = arguments[email]
    print(
      DevelopmentTokens(settings: runtime.settings).token(
        subject: arguments[subject], email: address.isEmpty ? nil : address, roles: roles,
        groups: list(arguments[group]),
        lifetime: arguments[lifetime]))
  }
}
