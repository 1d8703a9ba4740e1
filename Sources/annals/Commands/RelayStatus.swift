import CommandLine
import Configuration
import EventStore
import HTTPClient
import JSON
import Postgres
import Relay
import Services

extension Commands {
  /// Works wherever the relay runs, and while it does not run.
  static let relayStatus = Command("status", "Say in words how far the relay is, and what it waits for.") { arguments in
    let runtime = try Runtime(arguments)
    let isWell = try await runtime.run("status") { context in
      let options = try context.relayOptions
      let problem = await relayProblem(context)
      return try await PostgresSession.with(
        options.postgres, on: context.reactor, logger: context.logger
      ) { session in
        var isWell = problem == nil
        let parts = try await TableProgress.read(options.slot, session)
        if let state = try await SlotState.read(options.slot, session) {
          print(
            "slot \(options.slot): \(state.isActive ? "a relay streams (pid \(state.activePID))" : "no relay is connected")"
          )
          print("confirmed: \(state.confirmed.map { "\($0)" } ?? "nothing yet"), \(state.lag) bytes behind")
          print("WAL kept for it: \(state.retained) bytes (\(state.walStatus))")
          if state.walStatus == "lost" {
            print("the server has removed WAL that the slot needed: the relay creates a new slot")
          }
          isWell = isWell && state.isActive
        } else if parts.isEmpty {
          print("slot \(options.slot): does not exist. The relay creates it when it first runs: annals relay")
          isWell = false
        }
        for part in parts {
          print(
            "table, part \(part.shard) of \(part.shards): up to \(part.position), \(part.waiting) rows behind, "
              + "measured \(part.age) s ago")
        }
        if let rows = try await session.execute(
          "select sum(tuples_processed) from pg_stat_progress_copy where datname = current_database() and command = 'COPY TO'"
        ).first?.first.flatMap({ $0 }) {
          print("a table is being read: \(rows) rows of it so far")
          isWell = problem == nil
        }
        if let problem { print("the relay on port \(context.settings[RelaySettings.port]): \(problem)") }
        let parked = try await ParkedMessages(session).listIfThere()
        if !parked.isEmpty {
          print(
            "\(parked.count) keys are parked, \(parked.reduce(0) { $0 + $1.count }) messages: annals relay parked list")
        }
        if let holder = try await LongTransaction.oldest(atLeast: 30, session) {
          print(
            "a transaction has been open for \(holder.seconds) s (pid \(holder.processID), \(holder.application)): a relay "
              + "that reads the table waits behind it, and the server keeps WAL for it: \(holder.query)")
        }
        return isWell
      }
    }
    print(isWell ? "all is well" : "the relay does not make progress")
    if !isWell { leave(1) }
  }

  /// The problem that `annals relay` on this machine reports; nil if it has none, or does not answer.
  private static func relayProblem(_ context: Context) async -> String? {
    let url = "http://\(context.settings[HTTPSettings.address]):\(context.settings[RelaySettings.port])/readyz"
    do {
      let answer = try await context.http.send(HTTPRequest(.get, url, timeout: .seconds(2)))
      return try JSONValue(parsing: answer.body)["failing"]?.array?.first?["problem"]?.string
    } catch {
      // It runs on another machine, or inside `annals all`: the slot says whether it works.
      return nil
    }
  }
}
