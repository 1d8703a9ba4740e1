import CommandLine
import Postgres
import Projections
import Services

extension Commands {
  static let projectStatus = Command(
    "status", "Say which generations of each view there are, how far the live ones are behind, and what is parked.",
    run: { arguments in
      try await showGenerations(arguments, withLag: true)
      try await withParkedStreams(arguments) { parked in
        let entries = try await parked.list()
        if !entries.isEmpty { print("\(entries.count) streams are parked: annals project parked list") }
      }
    })

  private static let number = Option<Int>(argument: "number", "The number, as `parked list` shows it.")

  static let parkedStreams = Command(
    "parked", "List streams whose change a view refused, and decide about them.",
    examples: [
      ("annals project parked list", "each parked stream, and why"),
      ("annals project parked retry 17", "fold the stream from the log and apply it, once the cause is fixed"),
    ],
    subcommands: [
      Command("list", "List parked streams, the longest parked first.") { arguments in
        try await withParkedStreams(arguments) { parked in
          let entries = try await parked.list()
          if entries.isEmpty { print("nothing is parked") }
          for entry in entries {
            print(
              "\(entry.id)  \(entry.view)  \(entry.stream)  version \(entry.version) to \(entry.newest), since \(entry.since)"
                + (entry.request.isEmpty ? "" : ", to be settled: \(entry.request)"))
            print("    \(entry.reason)")
          }
        }
      },
      Command("show", "Show one with its history.", options: [number.description]) { arguments in
        try await withParkedStreams(arguments) { parked in
          guard let text = try await parked.show(Int64(arguments[number])) else { return notParked() }
          print(text)
        }
      },
      request(.retry, "Fold the stream from the log and apply it."),
      request(.skip, "Leave out what waits; later changes of the stream are applied."),
      request(.drop, "The same, for good: the stream's entry stays as it is."),
    ])

  private static func notParked() {
    print("nothing of that number is parked; see annals project parked list")
    leave(1)
  }

  private static func request(_ request: ParkedStreams.Request, _ summary: String) -> Command {
    Command(request.rawValue, summary, options: [number.description]) { arguments in
      try await withParkedStreams(arguments) { parked in
        guard try await parked.request(request, Int64(arguments[number])) else { return notParked() }
        print("\(request.rawValue): a running annals project acts on it within seconds")
      }
    }
  }

  private static func withParkedStreams(
    _ arguments: Arguments, _ body: @Sendable (ParkedStreams) async throws -> Void
  ) async throws {
    try await Runtime(arguments).run("parked") { context in
      try await context.pool.start(connections: 1)
      try await body(ParkedStreams(context.pool))
    }
  }
}
