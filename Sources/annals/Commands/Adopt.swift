import CommandLine
import EventStore
import Postgres
import Services

extension Commands {
  static let adopt = Command(
    "adopt", "Make this server the log's: after a restore, a copy, an import or an upgrade of the cluster.",
    examples: [("annals adopt", "once nothing writes to the original any more")]
  ) { arguments in
    let (identity, epoch, moved) = try await Runtime(arguments).run("adopt") { context in
      try await context.requireSchema()
      try await context.pool.start(connections: 1)
      let adoption = try await context.adopt()
      return (try await context.store.identity(), adoption.epoch, adoption.moved)
    }
    print("log \(identity.id) is in epoch \(epoch) now; \(moved) events had no log index and come behind all others")
    print("restart the relays: they publish what is left in the outbox again. Readers go on where they were")
  }
}
