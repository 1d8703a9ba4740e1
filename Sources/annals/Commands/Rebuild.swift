import Kafka
import CommandLine
import Configuration
import Glibc
import JSON
import Logging
import Postgres
import Projections
import Redis
import Services

extension Commands {
  private static let view = Option<String>(argument: "view", default: "", "The view, for example document-search.")
  private static let rollback = Option<Bool>(
    flag: "rollback", "Make the generation that was live before the live one again, once it has caught up.")
  private static let anew = Option<Bool>(flag: "anew", "Begin anew where a rebuild was interrupted.")
  private static let status = Option<Bool>(flag: "status", "Only say which generations there are.")

  static let rebuild = Command(
    "rebuild", "Make a view again from the log, beside the live one, and let them change places.",
    options: [view.description, rollback.description, anew.description, status.description],
    examples: [
      ("annals rebuild document-search", "readers notice nothing; one that was interrupted goes on where it was"),
      ("annals rebuild document-search --rollback", "back to the generation before"),
      ("annals rebuild --status", "the generations of all views"),
    ]
  ) { arguments in
    if arguments[status] { return try await showGenerations(arguments) }
    let name = arguments[view]
    guard !name.isEmpty else { throw UsageError("say which view; annals rebuild --status lists them") }
    let runtime = try Runtime(arguments)
    let generation = try await runtime.run("rebuild") { context in
      try await context.requireSchema()
      try await context.pool.start(connections: 2)
      try await context.redis.start()
      let rebuild = Rebuild(try context.view(name), try context.viewWorld)
      if arguments[rollback] { return try await rebuild.rollBack() }
      let display = RebuildDisplay()
      let generation = try await rebuild.run(reason: "annals rebuild", anew: arguments[anew]) { display.show($0) }
      display.end()
      return generation
    }
    print("generation \(generation) of \(name) is live")
  }

  /// - Parameter withLag: Say how far the live ones are behind Kafka, too.
  @Sendable
  static func showGenerations(_ arguments: Arguments, withLag: Bool = false) async throws {
    try await Runtime(arguments).run("status") { context in
      try await context.pool.start(connections: 1)
      for view in try context.views {
        print(view.name)
        let generations = try await context.viewWorld.registry.generations(of: view.name)
        if generations.isEmpty { print("  no generation yet: annals project builds one") }
        for generation in generations {
          let since = generation.activatedAt.map { ", live since \($0)" } ?? ""
          print(
            "  \(generation.number)  \(generation.state.rawValue), form \(generation.form), \(generation.streams) streams, "
              + "begun \(generation.begunAt)\(since): \(generation.reason)")
          guard withLag, generation.state == .live else { continue }
          let lag = try await context.viewWorld.lag(of: view, generation)
          print("     \(lag)")
          for part in lag.parts {
            print(
              "       \(part.partition.topic)/\(part.partition.partition)  \(part.messages) messages"
                + (part.seconds.map { ", the oldest \($0) s old" } ?? ""))
          }
        }
      }
    }
  }
}

/// A bar on a terminal, a line of JSON elsewhere, a few times a second at most.
private final class RebuildDisplay {
  private let isTerminal = isatty(1) == 1
  private let began = ContinuousClock.now
  private var shownAt = ContinuousClock.now - .seconds(60)
  private var phase: Rebuild.Progress.Phase?

  func show(_ progress: Rebuild.Progress) {
    guard progress.phase != phase || ContinuousClock.now - shownAt >= .milliseconds(isTerminal ? 100 : 1_000) else {
      return
    }
    (phase, shownAt) = (progress.phase, .now)
    let seconds = Double((ContinuousClock.now - began).components.seconds) + 0.001
    let rate = Double(progress.events) / seconds
    let share = progress.total == 0 ? 1 : min(1, Double(progress.streams) / Double(progress.total))
    let left = share > 0.01 ? Int(seconds / share * (1 - share)) : nil
    guard isTerminal else {
      var writer = JSONWriter()
      writer.object {
        $0.member("view", progress.view)
        $0.member("generation", progress.generation)
        $0.member("phase", progress.phase.rawValue)
        $0.member("streams", progress.streams)
        $0.member("total", progress.total)
        $0.member("events", progress.events)
        $0.member("events_per_second", Int(rate))
        $0.member("seconds_left", left ?? -1)
      }
      print(String(decoding: writer.bytes, as: UTF8.self))
      return
    }
    let filled = Int(share * 30)
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
    let time = left.map { ", \($0) s left" } ?? ""
    print(
      "\r\u{1B}[K\(bar) \(progress.phase.rawValue), \(progress.streams) of \(progress.total) streams, \(Int(rate)) events/s\(time)",
      terminator: "")
    fflush(nil)
  }

  func end() { if isTerminal { print("") } }
}
