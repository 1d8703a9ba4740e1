import CommandLine
import Postgres
import Projections
import Redis
import Services

extension Commands {
  private static let viewName = Option<String>(
    argument: "view", default: "", "Only this view, for example document-search.")
  private static let sample = Option<Int>("sample", default: 0, "Compare so many streams, chosen at random; 0: all.")
  private static let repair = Option<Bool>(flag: "repair", "Write again what differs.")

  static let verify = Command(
    "verify", "Compare every view with a replay of history, while writes go on.",
    options: [viewName.description, sample.description, repair.description],
    examples: [
      ("annals verify", "ends with 0 if there is no difference"),
      ("annals verify document-search --sample 1000", "a quick look at one view"),
      ("annals verify document-lists --repair", "and write again what differs"),
    ]
  ) { arguments in
    let (name, sample) = (arguments[viewName], arguments[sample])
    let report = try await Runtime(arguments).run("verify") { context in
      try await context.requireSchema()
      try await context.pool.start(connections: 1)
      try await context.redis.start()
      let views = try name.isEmpty ? context.keptViews : [context.view(name)]
      return try await Verifier(try context.viewWorld).run(
        views, .init(sample: sample > 0 ? sample : nil, repairs: arguments[repair]))
    }
    print("\(report.streams) streams, \(report.events) events, \(report.differences.count) differences")
    for difference in report.differences.prefix(20) { print("  \(difference)") }
    if report.repaired > 0 { print("\(report.repaired) entries were written again: run annals verify once more") }
    if !report.differences.isEmpty { leave(1) }
  }
}
