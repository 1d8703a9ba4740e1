import Configuration
public import EventStore
import Lifecycle
import Logging
public import Postgres
import Reactor

/// The event log itself: its database, and the upkeep of the outbox.
public struct EventLog: Feature {
  public let name = "log"

  public init() {}

  public var connections: Connections { .postgres }

  public func workers(_ context: Context) throws -> [any Worker] {
    [
      Sequencing(
        sequencer: Sequencer(
          context.pool, on: context.reactor, logger: context.logger, metrics: context.metrics)),
      OutboxUpkeep(
        maintenance: OutboxMaintenance(
          context.pool, context.postgres, on: context.reactor, logger: context.logger, metrics: context.metrics)),
    ]
  }

  public func checks(_ context: Context) throws -> [Check] {
    [
      Check("Postgres", isRequired: true) {
        let state = try await ServerState.read(over: context.pool)
        guard state.version >= 140_000 else {
          throw CheckProblem("version \(state.version / 10_000) is too old: 14 or newer is needed")
        }
        return "version \(state.version / 10_000).\(state.version % 10_000)"
      },
      Check("Schema") {
        let missing = try await context.withSession {
          try await Migrator.missing($0)
        }
        guard missing.isEmpty else {
          throw CheckProblem("missing or changed: \(missing.descriptions.joined(separator: ", ")). Run annals migrate")
        }
        return "up to date"
      },
      Check("Transactions") {
        let oldest = try await context.withSession { try await LongTransaction.oldest(atLeast: 60, $0) }
        guard let oldest else { return "none is older than a minute" }
        throw CheckProblem(
          "pid \(oldest.processID) (\(oldest.application)) has been open for \(oldest.seconds) s and holds back readers "
            + "of the log: \(oldest.query). End it, or call pg_terminate_backend(\(oldest.processID))")
      },
    ]
  }
}

/// Gives events their log indexes.
private struct Sequencing: Worker {
  let name = "sequencer"
  let sequencer: Sequencer

  var problem: String? { get async { await sequencer.problem } }

  func run(until stop: StopSignal) async throws { try await stop.cancels { await sequencer.run() } }
}

/// Keeps partitions of the outbox ahead of the writers and drops confirmed ones.
private struct OutboxUpkeep: Worker {
  let name = "outbox"
  let maintenance: OutboxMaintenance

  func run(until stop: StopSignal) async throws { try await stop.cancels { await maintenance.run() } }
}

extension Context {
  /// Brings the database to this program's schema, and returns what was applied.
  public func migrate() async throws -> [Migrator.Step] {
    try await reactor.run {
      try await PostgresSession.with(postgres, on: reactor, logger: logger) { session in
        try await PostgresSession.with(postgres, on: reactor, logger: logger) { guardian in
          try await Migrator(session, guardian: guardian, on: reactor, logger: logger).run()
        }
      }
    }
  }

  /// A Postgres session for one use, on the context's reactor wherever the caller runs.
  public func withSession<Value: Sendable>(
    _ body: @Sendable (PostgresSession) async throws -> Value
  ) async throws -> Value {
    try await reactor.run {
      try await PostgresSession.with(postgres, on: reactor, logger: logger) { try await body($0) }
    }
  }
}
