import CommandLine
import JSON
import Lifecycle
import Services

extension Commands {
  static let openAPI = Command(
    "openapi", "Print the description of the REST API (OpenAPI 3.1).",
    examples: [("annals openapi | jq .paths", "what the API can do")]
  ) { arguments in
    let description = try await Runtime(arguments).run("openapi") { context in
      let groups = try context.features.flatMap { try $0.routes(context) }
      return try Operations(context, checks: [], described: groups, stop: StopSignal()).document
    }
    print(description)
  }
}
