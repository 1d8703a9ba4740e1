import Relay
import CommandLine
import Configuration
import Services

extension Commands {
  static let relay = Command(
    "relay", "Publish the outbox to Kafka.",
    examples: [
      ("annals relay", "with /metrics and /healthz on port 28081"),
      ("annals relay status", "how far it is, in words"),
    ],
    subcommands: [relayStatus, relayDecode, relayForget, parked]
  ) { arguments in
    let runtime = try Runtime(arguments)
    // The tables of others may be in a database without an outbox; who only looks keeps nothing.
    let keepsOutbox =
      runtime.settings[RelaySettings.connector].isEmpty && runtime.settings[RelaySettings.destination] == .kafka
    let features: [any Feature] =
      [Features.operatorsIdentity, Features.traces, Features.relay] + (keepsOutbox ? [Features.outbox] : [])
    try await Server(runtime: runtime, features: features, port: runtime.settings[RelaySettings.port]).run()
  }
}
