import EventStore
public import Logging
public import Postgres
public import Reactor
import Relay

/// Looks at a database: can it be reached, can it be streamed from, is its schema this binary's, does anything hold
/// readers or WAL back.
public struct PostgresExamination {
  private let options: PostgresOptions
  private let slot: String
  private let reactor: Reactor
  private let logger: Logger

  public init(_ options: PostgresOptions, slot: String, on reactor: Reactor, logger: Logger) {
    (self.options, self.slot, self.reactor, self.logger) = (options, slot, reactor, logger)
  }

  public func run() async -> [Finding] {
    let session: PostgresSession
    do { session = try await PostgresSession.connect(options, on: reactor, logger: logger) } catch {
      return [Finding("Postgres", isWell: false, "\(error)")]
    }
    defer { session.close() }
    var findings: [Finding] = []
    do {
      findings += try await server(session)
      findings.append(try await schema(session))
      findings.append(try await replicationSlot(session))
      findings.append(try await transactions(session))
    } catch { findings.append(Finding("Postgres", isWell: false, "\(error)")) }
    return findings
  }

  private func server(_ session: PostgresSession) async throws -> [Finding] {
    let state = try await ServerState.read(session)
    let (version, walLevel) = (state.version, state.walLevel)
    let (slots, senders) = (state.replicationSlots, state.walSenders)
    let mayReplicate = state.mayReplicate
    return [
      Finding(
        "Postgres", isWell: version >= 140_000,
        version >= 140_000
          ? "\(session.host), version \(version / 10_000).\(version % 10_000)"
          : "version \(version / 10_000) is too old: 14 or newer is needed"),
      Finding(
        "Logical decoding", isWell: walLevel == "logical" && slots > 0 && senders > 0,
        walLevel == "logical"
          ? "wal_level logical, \(slots) slots, \(senders) senders"
          : "wal_level is \(walLevel): set wal_level = logical in postgresql.conf and restart Postgres"),
      Finding(
        "Right to replicate", isWell: mayReplicate,
        mayReplicate ? "there" : "missing: alter role … replication"),
    ]
  }

  private func schema(_ session: PostgresSession) async throws -> Finding {
    let missing = try await Migrator(session, logger: logger).run(isDryRun: true)
    return Finding(
      "Schema", isWell: missing.isEmpty,
      missing.isEmpty ? "up to date" : "\(missing.count) migrations are missing: run annals migrate")
  }

  private func replicationSlot(_ session: PostgresSession) async throws -> Finding {
    guard let state = try await SlotState.read(slot, session) else {
      return Finding("Slot \(slot)", isWell: true, "not there yet, the relay makes it")
    }
    let text = "\(state.lag) bytes behind, \(state.retained) bytes of WAL kept (\(state.walStatus))"
    guard state.walStatus != "lost" else {
      return Finding("Slot \(slot)", isWell: false, "\(text): drop it and let the relay start anew")
    }
    return Finding(
      "Slot \(slot)", isWell: state.isActive,
      state.isActive ? text : "\(text), but no relay is connected: start annals relay run")
  }

  private func transactions(_ session: PostgresSession) async throws -> Finding {
    guard let transaction = try await LongTransaction.oldest(atLeast: 60, session) else {
      return Finding("Transactions", isWell: true, "none is older than a minute")
    }
    return Finding(
      "Transactions", isWell: false,
      "pid \(transaction.processID) (\(transaction.application)) has been open for \(transaction.seconds) s and holds "
        + "readers of the log back: \(transaction.query). End it, or pg_terminate_backend it")
  }
}
