import CommandLine
import Configuration
import Services

extension Commands {
  static let all = Command(
    "all", "Run everything in one process: API, relay and projections.",
    examples: [("annals all", "what `make up` starts")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    try await Server(runtime: runtime, features: Features.all, port: runtime.settings[HTTPSettings.port]).run()
  }
}
