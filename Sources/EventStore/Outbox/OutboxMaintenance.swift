public import Logging
public import Metrics
public import Postgres
public import Reactor
import Schema

/// Creates partitions of the outbox before writers need them, and drops those that every registered relay has. Every process
/// that writes or relays runs it. Only one process at a time does the work.
public struct OutboxMaintenance: Sendable {
  private let options: PostgresOptions
  private let reactor: Reactor
  private let logger: Logger
  private let interval: Duration
  private let dropped: Counter

  /// - Parameter options: For a session of its own: what is dropped is detached first, and that waits for long readers.
  public init(
    _ options: PostgresOptions, every interval: Duration = .seconds(10), on reactor: Reactor,
    logger: Logger, metrics: MetricsRegistry
  ) {
    (self.options, self.interval, self.reactor) = (options, interval, reactor)
    self.logger = logger.labelled("outbox")
    dropped = metrics.counter("annals_outbox_partitions_dropped_total", help: "Confirmed partitions that were dropped.")
  }

  static let upkeep = Query("outbox_upkeep", Schema.outboxUpkeep)
  static let retire = Query("retire_relay", Schema.retireRelay)

  /// Creates and drops partitions once, and returns their numbers.
  public func runOnce() async throws -> (added: Int, dropped: Int) {
    // A session belongs to its reactor, wherever the caller runs.
    try await reactor.run {
      try await PostgresSession.with(options, on: reactor, logger: logger) { session in
        guard let row = try await session.query(Self.upkeep).first else { return (0, 0) }
        let names = try row.get(1, as: Texts.self).values
        for name in names { try await drop(name, session) }
        return (try row.get(0, as: Int.self), names.count)
      }
    }
  }

  /// Detaches a partition without a lock that writers would wait for, then drops it. Each step may find that an earlier call
  /// was stopped after it.
  private func drop(_ name: String, _ session: PostgresSession) async throws {
    let table = "annals.\(quotedIdentifier(name))"
    let found = try await session.execute(
      """
      select i.inhdetachpending from pg_inherits i
      where i.inhparent = 'annals.outbox'::regclass and i.inhrelid = to_regclass(\(quotedLiteral(table)))
      """, name: "looking for a partition")
    if let pending = found.first?.first {
      try await session.execute(
        "alter table annals.outbox detach partition \(table) \(pending == "t" ? "finalize" : "concurrently")",
        name: "detaching \(name)")
    }
    try await session.execute(
      """
      begin; drop table if exists \(table);
      delete from annals.outbox_partitions where name = \(quotedLiteral(name)); commit
      """, name: "dropping \(name)")
    dropped.increment()
  }

  /// Retires a reader of the outbox: nothing is kept for it any more. Its slot, if it has one, stays.
  ///
  /// - Returns: False if no reader has this name.
  public static func forget(_ relay: String, _ session: PostgresSession) async throws(PostgresError) -> Bool {
    guard let row = try await session.query(retire, [.text(relay)]).first else { return false }
    return try row.get(0)
  }

  /// Runs until the task is cancelled.
  public func run() async {
    var hasSaidRights = false
    while !Task.isCancelled {
      do {
        let (added, dropped) = try await runOnce()
        if added + dropped > 0 {
          logger.info("Outbox partitions changed", metadata: ["added": "\(added)", "dropped": "\(dropped)"])
        }
      } catch PostgresError.server(let error) where error.sqlState == "42501" {
        if !hasSaidRights {
          hasSaidRights = true
          logger.warning(
            "Confirmed partitions of the outbox stay: dropping them needs the owner's rights. Grant annals_maintenance",
            metadata: [.error: "\(error.message)"])
        }
      } catch {
        logger.warning("Outbox maintenance failed and will be retried", metadata: [.error: "\(error)"])
      }
      do { try await reactor.sleep(for: interval) } catch { return }
    }
  }
}
