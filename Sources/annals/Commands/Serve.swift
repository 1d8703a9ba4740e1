import CommandLine
import Configuration
import Services

extension Commands {
  private static let feature = Option<String>(
    argument: "feature", default: "",
    "Serve only these features, joined by commas: \(names). All if it is missing.")
  private static let names = Features.services.map(\.name).joined(separator: ", ")
  private static let port = Option<Int>("port", default: 0, "The port to listen on, instead of http.port.")

  static let serve = Command(
    "serve", "Serve the REST API.", options: [feature.description, port.description],
    examples: [
      ("annals serve", "on 127.0.0.1 port 28080"),
      ("annals serve documents,search --port 8005 --operations.port 8006", "some features, on ports of their own"),
      ("annals serve --http.address 0.0.0.0", "for other machines"),
    ]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let wanted = arguments[feature].split(separator: ",").map { String($0) }
    for name in wanted where !Features.services.contains(where: { $0.name == name }) {
      throw UsageError("there is no feature “\(name)”; use \(names)")
    }
    let chosen = Features.services.filter { wanted.isEmpty || wanted.contains($0.name) }
    let port = arguments[port]
    guard (0...65_535).contains(port) else { throw UsageError("--port: “\(port)” is not a port from 1 to 65535") }
    try await Server(
      runtime: runtime, features: [Features.log, Features.outbox, Features.identity, Features.traces] + chosen,
      port: port == 0 ? runtime.settings[HTTPSettings.port] : port
    ).run()
  }
}
