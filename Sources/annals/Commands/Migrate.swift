import CommandLine
import EventStore
import Services

extension Commands {
  private static let isDryRun = Option<Bool>(flag: "dry-run", "Only say what would be applied.")

  static let migrate = Command(
    "migrate", "Bring the database to this binary's schema.", options: [isDryRun.description],
    examples: [("annals migrate --dry-run", "what would be applied")]
  ) { arguments in
    let names = try await Runtime(arguments).run("migrate") { context in
      if arguments[isDryRun] { return try await context.withSession { try await Migrator.missing($0).descriptions } }
      return try await context.migrate().map(\.description)
    }
    for name in names { print(arguments[isDryRun] ? "would apply" : "applied", name) }
    if names.isEmpty { print("the schema is up to date") }
  }
}
