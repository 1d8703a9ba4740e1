import CommandLine
import Postgres
import Projections
import Redis
import Services

extension Commands {
  static let verify = Command(
    "verify", "Compare every view with a replay of history.",
    examples: [("annals verify", "ends with 0 if there is no difference")]
  ) { arguments in
    let report = try await Runtime(arguments).run("verify") { context in
      try await context.requireSchema()
      try await context.pool.start(connections: 1)
      try await context.redis.start()
      return try await Verifier(
        store: context.store, pool: context.pool, aggregates: context.features.flatMap(\.aggregates),
        views: try context.views
      ).run()
    }
    print("\(report.streams) streams, \(report.events) events, \(report.differences.count) differences")
    for difference in report.differences.prefix(20) { print("  \(difference)") }
    if !report.differences.isEmpty { leave(1) }
  }
}
