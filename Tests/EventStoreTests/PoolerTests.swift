import EventStore
import Events
import Metrics
import Postgres
import Support
import Testing

@Suite("Behind PgBouncer in transaction mode", .workLimit(minutes: 2)) struct PoolerTests {
  @Test("streams are written and read by many at once; a conflict is a conflict")
  func writeAndRead() async throws {
    try await withDatabase { database in
      try await withPgBouncer(on: database.reactor) { port in
        var options = database.options
        options.url = "postgresql://any@127.0.0.1:\(port)/\(database.name)"
        (options.preparesStatements, options.setsSession) = (false, false)
        let pool = PostgresPool(options, on: database.reactor, logger: quietLogger(), metrics: MetricsRegistry())
        try await pool.start(connections: 8)
        let tallies = AggregateStore<Tally>(EventStore(pool))
        await withThrowingTaskGroup { group in
          for number in 0..<40 {
            group.addTask {
              _ = try await tallies.create("pooled-\(number)", .add(1), metadata: EventMetadata(actor: "a"))
              for _ in 0..<3 {
                _ = try await tallies.execute(.add(1), on: "pooled-\(number)", metadata: EventMetadata(actor: "a"))
              }
            }
          }
        }
        for number in 0..<40 {
          let loaded = try await tallies.load("pooled-\(number)")
          #expect(loaded.state != nil && loaded.version == 4)
        }
        await #expect(throws: UnexpectedVersion.self) {
          try await tallies.execute(.add(1), on: "pooled-0", expecting: 2, metadata: EventMetadata(actor: "a"))
        }
        await pool.close()
      }
    }
  }
}
