import CommandLine
import JSON
import Services

extension Commands {
  static let openAPI = Command(
    "openapi", "Print the description of the REST API (OpenAPI 3.1).",
    examples: [("annals openapi | jq .paths", "what the API can do")]
  ) { arguments in
    let description = try await Runtime(arguments).run("openapi") { context in
      OpenAPI.document(try context.features.flatMap { try $0.routes(context) }, version: context.version)
    }
    print(description)
  }
}
