import CommandLine
import EventStore
import Services

extension Commands {
  private static let isDryRun = Option<Bool>(flag: "dry-run", "Only say what would be applied.")

  static let migrate = Command(
    "migrate", "Bring the database to this binary's schema.", options: [isDryRun.description],
    examples: [("annals migrate --dry-run", "what would be applied")]
  ) { arguments in
    let steps = try await Runtime(arguments).run("migrate") { context in
      try await context.withSession {
        try await Migrator($0, logger: context.logger).run(isDryRun: arguments[isDryRun])
      }
    }
    for step in steps { print(arguments[isDryRun] ? "would apply" : "applied", step.version, step.name) }
    if steps.isEmpty { print("the schema is up to date") }
  }
}
