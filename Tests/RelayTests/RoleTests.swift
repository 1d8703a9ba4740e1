import Glibc
import Identifiers
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("A relay with the least rights", .serialized, .timeLimit(.minutes(5))) struct RoleTests {
  /// The script, for a role of the test's own.
  private func script(_ role: String) throws -> String {
    let path = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/sql/roles/relay.sql"
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("--") }
      .joined(separator: "\n").replacing("annals_relay", with: role)
  }

  @Test("reads the WAL, and without the right to replicate the table", arguments: [true, false])
  func leastRights(mayReplicate: Bool) async throws {
    try await withDatabase { database in
      let role = Stack.uniqueName("relay_role")
      let session = try await database.session()
      try await session.execute(try script(role))
      if !mayReplicate { try await session.execute("alter role \(role) noreplication") }
      let topic = Stack.uniqueName("cdc")
      var options = try RelayTests.options(database, topic: topic)
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
