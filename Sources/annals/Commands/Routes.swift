import CommandLine
import Configuration
import Lifecycle
import Services

extension Commands {
  static let routes = Command(
    "routes", "Print who may use which route: by role, and by what is his of the document.",
    examples: [("annals routes", "the table, in Markdown")]
  ) { arguments in
    let table = try await Runtime(arguments).run("routes") { context in
      let groups = try context.features.flatMap { try $0.routes(context) }
      return RightsTable(
        groups + (try Operations(context, checks: [], described: groups, stop: StopSignal()).everything)
      ).markdown
    }
    print(table)
  }
}
