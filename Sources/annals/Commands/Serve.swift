import CommandLine
import Configuration
import Services

extension Commands {
  private static let feature = Option<String>(
    argument: "feature", default: "",
    "Serve only this feature: \(names). All if it is missing.")
  private static let names = Features.services.map(\.name).joined(separator: ", ")
  private static let port = Option<Int>("port", default: 0, "The port to listen on, instead of http.port.")

  static let serve = Command(
    "serve", "Serve the REST API.", options: [feature.description, port.description],
    examples: [
      ("annals serve", "on 127.0.0.1 port 28080"),
      ("annals serve documents --port 8005 --operations.port 8006", "one feature, on ports of its own"),
      ("annals serve --http.address 0.0.0.0", "for other machines"),
    ]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let name = arguments[feature]
    let chosen = Features.services.filter { name.isEmpty || $0.name == name }
    guard !chosen.isEmpty else { throw UsageError("there is no feature “\(name)”; use \(names)") }
    let wanted = arguments[port]
    guard (0...65_535).contains(wanted) else { throw UsageError("--port: “\(wanted)” is not a port from 1 to 65535") }
    try await Server(
      runtime: runtime, features: [Features.log, Features.outbox, Features.identity] + chosen,
      port: wanted == 0 ? runtime.settings[HTTPSettings.port] : wanted
    ).run()
  }
}
