import Configuration
public import EventStore
import Lifecycle
import Logging
public import Postgres
import Reactor

/// The event log itself: its database, and the indexes of its events.
public struct EventLog: Feature {
  public let name = "log"

  public init() {}

  public var connections: Connections { .postgres }

  public func prepare(_ context: Context) async throws { try await context.requireSchema() }

  public func workers(_ context: Context) throws -> [any Worker] {
    [
      Sequencing(
        sequencer: Sequencer(
          context.pool, on: context.reactor, logger: context.logger, metrics: context.metrics))
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
      Check("Log") {
        let own = try await context.withSession {
          _ = try await $0.execute("select annals.check_server()", name: "asking whose it is")
          return try await LogIdentity.read($0)
        }
        let identity = try await context.store.identity()
        guard identity == own else {
          throw CheckProblem(
            "postgres.pooler-url leads to another log (\(identity.id)) than postgres.url (\(own.id)): make both lead to one database"
          )
        }
        return "\(identity.id), epoch \(identity.epoch), \(try await context.store.end()) events with an index"
      },
      Check("Transactions") {
        let (oldest, seesAll) = try await context.withSession {
          (try await LongTransaction.oldest(atLeast: 60, $0), try await LongTransaction.areAllVisible($0))
        }
        guard let oldest else {
          return "none is older than a minute"
            + (seesAll ? "" : "; those of other roles are not visible: grant pg_read_all_stats")
        }
        let remedy =
          oldest.processID == 0
          ? "commit prepared or rollback prepared '\(oldest.query)'"
          : "end it, or call pg_terminate_backend(\(oldest.processID))"
        throw CheckProblem(
          "pid \(oldest.processID) (\(oldest.application)) has been open for \(oldest.seconds) s and holds back readers "
            + "of the log: \(oldest.query). Remedy: \(remedy)")
      },
    ]
  }
}

/// The upkeep of the outbox, in every process that writes to it or relays it.
public struct Outbox: Feature {
  public let name = "outbox"

  public init() {}

  /// The upkeep connects when it works.
  public var connections: Connections { [] }

  public func workers(_ context: Context) throws -> [any Worker] {
    [
      OutboxUpkeep(
        maintenance: OutboxMaintenance(
          context.postgres, on: context.reactor, logger: context.logger, metrics: context.metrics))
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

/// The database does not have this program's schema.
struct SchemaMissing: Error, CustomStringConvertible {
  let missing: [String]
  var description: String {
    "the database lacks \(missing.prefix(5).joined(separator: ", "))\(missing.count > 5 ? " and more" : ""): run annals migrate"
  }
}

extension Context {
  /// Refuses a database without this program's schema. One that does not answer is left to the checks; a newer schema serves
  /// an older program too.
  public func requireSchema() async throws {
    do {
      let missing = try await withSession { try await Migrator.missing($0) }
      guard missing.isWorkable else { throw SchemaMissing(missing: missing.descriptions) }
      if !missing.isEmpty {
        logger.warning(
          "The database's definitions differ from this program's: run annals migrate",
          metadata: ["definitions": missing.descriptions.joined(separator: ", ")])
      }
    } catch MigrationError.newer(let version, let name) {
      logger.warning(
        "The database's schema is newer than this program", metadata: ["migration": "\(version) (\(name))"])
    } catch let error as PostgresError where error.isRetriable {
      logger.warning("The schema cannot be checked", metadata: [.error: "\(error)"])
    }
  }

  /// Makes the server the log's. Waits for writers, again and again for a minute at most.
  public func adopt() async throws -> (epoch: Int, moved: Int) {
    try await reactor.run {
      var backoff = Backoff(first: .milliseconds(200), limit: .seconds(5))
      while true {
        do {
          return try await PostgresSession.with(postgres, on: reactor, logger: logger) {
            try await LogIdentity.adopt($0)
          }
        } catch PostgresError.server(let error) where error.sqlState == "55P03" && backoff.attempts < 8 {
          logger.notice("Writers hold the log; trying again", metadata: [.attempt: "\(backoff.attempts)"])
          try await reactor.sleep(for: backoff.next())
        }
      }
    }
  }

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
  ///
  /// - Parameter options: nil: the database of the settings.
  public func withSession<Value: Sendable>(
    to options: PostgresOptions? = nil, _ body: @Sendable (PostgresSession) async throws -> Value
  ) async throws -> Value {
    try await reactor.run {
      try await PostgresSession.with(options ?? postgres, on: reactor, logger: logger) { try await body($0) }
    }
  }
}
