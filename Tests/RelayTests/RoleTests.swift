import Identifiers
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("A relay with the least rights", .serialized, .workLimit(minutes: 5)) struct RoleTests {
  @Test("reads the WAL, and without the right to replicate the table", arguments: [true, false])
  func leastRights(mayReplicate: Bool) async throws {
    try await withDatabase { database in
      let role = Stack.uniqueName("relay_role")
      let session = try await database.session()
      try await session.execute("create role \(role) login \(mayReplicate ? "replication" : "") in role annals_relay")
      let topic = Stack.uniqueName("cdc")
      var options = try outboxOptions(database, topic: topic)
      options.postgres.url = options.postgres.url.replacing("annals@", with: "\(role)@")
      if !mayReplicate { options.source = .table(shard: 0, of: 1) }
      let relay = try Relay(options, on: database.reactor, logger: quietLogger(), metrics: .init())
      let running = Task(executorPreference: database.reactor) { await relay.run() }
      try await eventually("it works", on: database.reactor) { await relay.state == .streaming }
      try await database.append("a", 1...3)
      #expect(try await RelayTests.read(from: topic, on: database.reactor) { $0.count >= 3 }.count == 3)
      running.cancel()
      await running.value
      try await session.execute("drop owned by \(role); drop role \(role)")
      session.close()
    }
  }
}
