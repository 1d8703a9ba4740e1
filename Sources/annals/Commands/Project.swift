import CommandLine
import Configuration
import Services

extension Commands {
  static let project = Command(
    "project", "Keep the views in Elasticsearch and Redis.",
    examples: [
      ("annals project", "with /metrics and /healthz on port 28082"),
      ("annals project status", "which generation of each view is live, and how far it is"),
    ],
    subcommands: [projectStatus, parkedStreams]
  ) { arguments in
    let runtime = try Runtime(arguments)
    try await Server(
      runtime: runtime, features: [Features.operatorsIdentity, Features.traces, Features.projections],
      port: runtime.settings[ProjectionSettings.port]
    ).run()
  }
}
