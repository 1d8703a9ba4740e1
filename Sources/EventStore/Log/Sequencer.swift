public import Logging
public import Metrics
public import Postgres
public import Reactor
import Schema

/// Gives events their log indexes once they are final (G2). Every process that writes the log offers to run it; one leads, the
/// others stand by and take over when an event has waited for `patience`.
///
/// It needs no session state, so it works through PgBouncer in transaction mode. Two that lead at once do no harm: a lock in
/// the database keeps them apart, and who sees the other's work steps back.
public actor Sequencer {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
  private let pool: PostgresPool
  private let logger: Logger
  private let sequenced: Counter
  private let newest: Gauge
  private let leads: Gauge
  private let held: Gauge
  private var isLeading = true
  private var lastSeen: Int64?
  /// The reason why it makes no progress; nil while it works or stands by.
  public private(set) var problem: String?

  /// How long it waits for more work, after some and after none.
  static let busyPause = Duration.milliseconds(2)
  static let idlePause = Duration.milliseconds(50)
  /// How long an event waits for a process that leads, before another takes over.
  static let patience = 1.0
  /// About the maximum number of events of one transaction.
  static let batch = 5_000

  static let query = Query("sequence", Schema.sequence)

  public init(_ pool: PostgresPool, on reactor: Reactor, logger: Logger, metrics: MetricsRegistry) {
    (self.pool, self.reactor) = (pool, reactor)
    self.logger = logger.labelled("sequencer")
    sequenced = metrics.counter("annals_log_sequenced_total", help: "Events that this process gave a log index.")
    newest = metrics.gauge("annals_log_end", help: "The log index that the next event will get.")
    held = metrics.gauge(
      "annals_log_held_seconds",
      help:
        "Age of the oldest transaction that writes, in any database of the server: events after it get no log index.")
    leads = metrics.gauge("annals_log_sequencer_leads", help: "1 while this process gives log indexes, else 0.")
  }

  /// Numbers one batch and returns how many events it had; nil on standby.
  func step() async throws(PostgresError) -> Int? {
    let rows = try await pool.query(
      Self.query, [.integer(Int32(Self.batch)), isLeading ? .null : .double(Self.patience)])
    guard let row = rows.first, let count = try row.optional(0, as: Int.self) else { return nil }
    let end = try row.get(1, as: Int64.self) + 1
    newest.set(end)
    sequenced.increment(by: count)
    let others = lastSeen.map { end - Int64(count) > $0 } ?? false
    lastSeen = end
    // Two that lead and both work step back only when there is nothing to do: never both in the midst of work.
    if isLeading, others, count == 0 {
      isLeading = false
      logger.debug("Another process gives log indexes; standing by")
    } else if !isLeading {
      isLeading = true
      logger.notice("Giving log indexes: no other process did")
    }
    return count
  }

  /// Runs until the task is cancelled.
  public func run() async {
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    var pause = Self.busyPause
    var examined = ContinuousClock.now
    while !Task.isCancelled {
      do {
        let count = try await step()
        backoff.reset()
        problem = nil
        leads.set(isLeading ? 1 : 0)
        if .now - examined >= .seconds(5) {
          examined = .now
          held.set(try await LongTransaction.age(of: pool))
        }
        switch count {
        case nil: pause = isLeading ? Self.idlePause : .milliseconds(Int.random(in: 300...700))
        case 0?: pause = min(pause * 2, Self.idlePause)
        case let count?: pause = count >= Self.batch ? .zero : Self.busyPause
        }
      } catch .cancelled { return } catch {
        pause = backoff.next()
        problem = "\(error)"
        leads.set(0)
        logger.error("Events get no log index; retrying", metadata: [.error: "\(error)", .delay: "\(pause)"])
      }
      do { try await reactor.sleep(for: pause) } catch { return }
    }
  }
}
