public import Logging
public import Metrics
public import Postgres
public import Reactor
import Schema

/// Creates partitions of the outbox before writers need them, and drops those that the relay has confirmed completely.
/// Every process that writes or relays runs it. Only one process at a time does the work.
public struct OutboxMaintenance: Sendable {
  private let pool: PostgresPool
  private let slot: String
  private let reactor: Reactor
  private let logger: Logger
  private let interval: Duration
  private let dropped: Counter

  public init(
    _ pool: PostgresPool, slot: String, every interval: Duration = .seconds(10), on reactor: Reactor, logger: Logger,
    metrics: MetricsRegistry
  ) {
    (self.pool, self.slot, self.interval, self.reactor) = (pool, slot, interval, reactor)
    self.logger = logger.labelled("outbox")
    dropped = metrics.counter("annals_outbox_partitions_dropped_total", help: "Confirmed partitions that were dropped.")
  }

  static let maintain = Query("maintain_outbox", Schema.maintainOutbox)

  /// Creates and drops partitions once, and returns their numbers.
  public func runOnce() async throws(PostgresError) -> (added: Int, dropped: Int) {
    let rows = try await pool.query(Self.maintain, [.text(slot)])
    guard let row = rows.first else { return (0, 0) }
    return (try row.get(0), try row.get(1))
  }

  /// Runs until the task is cancelled.
  public func run() async {
    while !Task.isCancelled {
      do {
        let (added, dropped) = try await runOnce()
        if added + dropped > 0 {
          self.dropped.increment(by: dropped)
          logger.info("Outbox partitions changed", metadata: ["added": "\(added)", "dropped": "\(dropped)"])
        }
      } catch {
        logger.warning("Outbox maintenance failed and will be retried", metadata: [.error: "\(error)"])
      }
      do { try await reactor.sleep(for: interval) } catch { return }
    }
  }
}
