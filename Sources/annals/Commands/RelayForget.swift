import CommandLine
import EventStore
import Relay
import Services

extension Commands {
  private static let name = Option<String>(argument: "name", "The relay's name (relay.slot).")

  static let relayForget = Command(
    "forget", "Retire a relay: nothing in the outbox is kept for it any more.", options: [name.description],
    examples: [("annals relay forget annals_test", "its replication slot, if there is one, must be dropped by itself")]
  ) { arguments in
    let wanted = arguments[name]
    let (wasThere, hasSlot) = try await Runtime(arguments).run("forget") { context in
      try await context.withRelaySession { session in
        let wasThere = try await OutboxMaintenance.forget(wanted, session)
        return (wasThere, try await SlotState.read(wanted, session) != nil)
      }
    }
    guard wasThere else {
      print("no relay is registered under the name \(wanted)")
      leave(1)
    }
    print("\(wanted) is forgotten")
    if hasSlot { print("its slot still keeps WAL: select pg_drop_replication_slot('\(wanted)')") }
  }
}
