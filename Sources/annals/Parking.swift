import CommandLine
import EventStore
import Postgres
import Reactor
import Relay

extension Commands {
  private static let number = Option<Int>(argument: "number", "The message's number, as `parked list` shows it.")

  /// Keys that wait for an operator.
  static let parked = Command(
    "parked", "Look at keys that are parked because a message could not be delivered, and decide about them.",
    examples: [
      ("annals relay parked list", "each parked key with its first message and why"),
      ("annals relay parked retry 17", "send the key's messages, in order, once the cause is mended"),
    ],
    subcommands: [
      Command("list", "List parked keys, the longest parked first.", run: listParked),
      Command("show", "Show all about a parked message.", options: [number.description], run: showParked),
      request(.retry, "Send the messages of the message's key, in their order."),
      request(.skip, "Leave this message out and send the others of its key."),
      request(.drop, "Send none of the messages of its key."),
    ])

  private static func request(_ request: ParkedMessages.Request, _ summary: String) -> Command {
    Command(request.rawValue, summary, options: [number.description]) { arguments in
      try await withParkedMessages(arguments) { messages in
        let count = try await messages.request(request, Int64(arguments[number]))
        guard count > 0 else {
          print("no message \(arguments[number]) is parked; see annals relay parked list")
          leave(1)
        }
        print("\(request.rawValue): \(count) messages; a running relay acts on it within seconds")
      }
    }
  }

  @Sendable
  private static func listParked(_ arguments: Arguments) async throws {
    try await withParkedMessages(arguments) { messages in
      let entries = try await messages.list()
      if entries.isEmpty { print("nothing is parked") }
      for entry in entries {
        print(
          "\(entry.id)  \(entry.topic)  \(entry.key)  \(entry.count) messages since \(entry.since) (\(entry.relay))"
            + (entry.isRequested ? ", to be sent" : ""))
        print("    \(entry.reason)")
      }
    }
  }

  @Sendable
  private static func showParked(_ arguments: Arguments) async throws {
    try await withParkedMessages(arguments) { messages in
      guard let text = try await messages.show(Int64(arguments[number])) else {
        print("there is no message \(arguments[number])")
        leave(1)
      }
      print(text)
    }
  }

  private static func withParkedMessages(
    _ arguments: Arguments, _ body: @Sendable (ParkedMessages) async throws -> Void
  ) async throws {
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("parked")
    try await reactor.run {
      try await PostgresSession.with(runtime.postgres, on: reactor, logger: runtime.logger) { session in
        try await body(ParkedMessages(session))
      }
    }
  }
}
