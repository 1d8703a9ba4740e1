import CommandLine
import Relay
import Services

extension Commands {
  private static let number = Option<Int>(argument: "number", "The message's number, as `parked list` shows it.")

  private static let retried = Option<Int>(
    argument: "number", default: 0, "The message's number, as `parked list` shows it.")
  private static let topic = Option<String>("topic", default: "", "All parked messages of this topic.")
  private static let everything = Option<Bool>(flag: "all", "All parked messages.")

  static let parked = Command(
    "parked", "List keys that are parked because a message could not be delivered, and decide about them.",
    examples: [
      ("annals relay parked list", "each parked key with its first message and why"),
      ("annals relay parked retry 17", "send the key's messages, in order, once the cause is fixed"),
      ("annals relay parked retry --topic cdc.documents", "the same for each key of a topic"),
    ],
    subcommands: [
      Command("list", "List parked keys, the longest parked first.", run: listParked),
      Command("show", "Show a parked message in full.", options: [number.description], run: showParked),
      retry,
      request(.skip, "Skip this message and send the others of its key."),
      request(.drop, "Drop all messages of its key."),
    ])

  private static let retry = Command(
    "retry", "Send the messages of the message's key, or of many keys, each in its order.",
    options: [retried.description, topic.description, everything.description]
  ) { arguments in
    let (number, topic, isAll) = (arguments[retried], arguments[topic], arguments[everything])
    guard [number != 0, !topic.isEmpty, isAll].filter({ $0 }).count == 1 else {
      throw UsageError("say which: a message's number, --topic NAME or --all")
    }
    try await withParkedMessages(arguments) { messages in
      let count =
        number == 0
        ? try await messages.retryAll(of: isAll ? nil : topic) : try await messages.request(.retry, Int64(number))
      guard count > 0 else {
        print("no such message is parked; see annals relay parked list")
        leave(1)
      }
      print("retry: \(count) messages; a running relay acts on it within seconds")
    }
  }

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
        print("no message \(arguments[number]) is parked; see annals relay parked list")
        leave(1)
      }
      print(text)
    }
  }

  private static func withParkedMessages(
    _ arguments: Arguments, _ body: @Sendable (ParkedMessages) async throws -> Void
  ) async throws {
    try await Runtime(arguments).run("parked") { context in
      try await context.withRelaySession { try await body(ParkedMessages($0)) }
    }
  }
}
