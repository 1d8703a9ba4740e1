import Postgres
import CommandLine
import Services
import Time

extension Commands {
  private static let days = Option<Int>(
    "days", default: 7, "How many days to look at, from the day before yesterday back.")
  private static let deletes = Option<Bool>(flag: "delete", "Delete what is found. Else it is only listed.")

  static let sweep = Command(
    "sweep", "Find contents in the object store that no event names, and uploads that were never completed.",
    options: [days.description, deletes.description],
    examples: [
      ("annals sweep", "list them, for a week"),
      ("annals sweep --days 2 --delete", "daily, from a timer; the bucket must belong to this database alone"),
    ]
  ) { arguments in
    guard (1...36_500).contains(arguments[days]) else {
      throw UsageError("--days: “\(arguments[days])” is not a number from 1 to 36500")
    }
    try await Runtime(arguments).run("sweep") { context in
      try await context.requireSchema()
      try await context.pool.start(connections: 1)
      let contents = try context.features.flatMap { try $0.contents(context) }
      let sweep = ContentSweep(context.content, of: contents)
      let today = Int(Timestamp.now().microseconds / 86_400_000_000)
      var total = ContentSweep.Report()
      for day in 2..<(2 + arguments[days]) {
        let time = Timestamp(microseconds: Int64(today - day) * 86_400_000_000)
        let report = try await sweep.run(day: String(time.description.prefix(10)), deletes: arguments[deletes])
        for key in report.orphans { print(key) }
        total.add(report)
      }
      let done = arguments[deletes] ? "deleted" : "found; --delete deletes them"
      print(
        "\(total.objects) contents, \(total.orphans.count) without an event \(done), \(total.uploads) uploads aborted")
    }
  }
}
