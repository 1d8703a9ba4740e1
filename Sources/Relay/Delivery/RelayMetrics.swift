import Kafka
package import Metrics
import Postgres
import Tracing

/// Metrics of a relay. Their names are stable.
package struct RelayMetrics: Sendable {
  let rows: Counter
  let delivered: Counter
  let catchUps: Counter
  let partitionChanges: Counter
  let batchSize: Histogram
  private let registry: MetricsRegistry
  let parked: Counter
  let parkedKeys: Gauge
  let inFlight: Gauge
  let confirmedLSN: Gauge
  let unconfirmedBytes: Gauge
  let lagSeconds: Gauge
  let lagEvents: Gauge
  let retained: Gauge
  let state: Gauge
  package let snapshotRows: Gauge
  package let snapshotTablesLeft: Gauge

  /// Takes the spans of messages; nil: none are recorded.
  let tracer: Tracer?

  init(_ registry: MetricsRegistry, tracer: Tracer?) {
    self.tracer = tracer
    rows = registry.counter(
      "annals_relay_rows_total",
      help: "Inserted rows received from the WAL, or read from the outbox table with relay.source=table.")
    delivered = registry.counter("annals_relay_delivered_total", help: "Messages that Kafka acknowledged.")
    self.registry = registry
    catchUps = registry.counter(
      "annals_relay_catch_ups_total",
      help: "Times the outbox was read from the table because the relay was far behind in the WAL.")
    partitionChanges = registry.counter(
      "annals_relay_partition_changes_total",
      help: "Times a topic had another number of partitions than before, so that keys moved. Looked at once a minute.")
    batchSize = registry.histogram(
      "annals_relay_batch_messages", bounds: [1, 4, 16, 64, 256, 1_024, 4_096, 16_384],
      help: "Messages per batch handed to Kafka.")
    parked = registry.counter("annals_relay_parked_total", help: "Messages parked instead of sent.")
    parkedKeys = registry.gauge("annals_relay_parked_keys", help: "Keys that have parked messages.")
    inFlight = registry.gauge("annals_relay_in_flight", help: "Messages sent but not acknowledged yet.")
    confirmedLSN = registry.gauge("annals_relay_confirmed_lsn", help: "Confirmed LSN, as a number of bytes.")
    unconfirmedBytes = registry.gauge(
      "annals_relay_lag_bytes", help: "WAL received from the server but not confirmed yet, in bytes.")
    lagSeconds = registry.gauge(
      "annals_relay_lag_seconds",
      help: "Age of the oldest transaction that was received and is not confirmed, in seconds; 0 if there is none.")
    lagEvents = registry.gauge(
      "annals_relay_lag_events",
      help: "Outbox events that have a position but are not acknowledged yet, updated every five seconds.")
    retained = registry.gauge(
      "annals_relay_retained_wal_bytes",
      help: "WAL that the server retains for the slot, in bytes, updated every five seconds.")
    snapshotRows = registry.gauge(
      "annals_relay_snapshot_rows", help: "Rows that the initial snapshot of the tables has read so far.")
    snapshotTablesLeft = registry.gauge(
      "annals_relay_snapshot_tables_left", help: "Tables that the initial snapshot has not finished reading.")
    registry.declare(.counter, Self.errors, labels: ["kind"], help: Self.errorsHelp)
    state = registry.gauge(
      "annals_relay_state", help: "0 starting, 1 standby while another relay is active, 2 streaming, 3 failing.")
  }
}

extension RelayMetrics {
  private static let errors = "annals_relay_errors_total"
  private static let errorsHelp = "Errors after which the relay restarted its attempt, by kind."

  /// Counts an error after which the relay restarts.
  func countError(_ error: any Error) {
    let kind =
      switch error {
      case is PostgresError: "postgres"
      case is KafkaError: "kafka"
      case is ReplicationError: "replication"
      case is PgOutputError: "malformed"
      case is UndeliverableMessage: "undeliverable"
      case is SpoolFailed: "spool"
      default: "other"
      }
    registry.counter(Self.errors, ["kind": kind], help: Self.errorsHelp).increment()
  }
}

/// State of a relay.
public enum RelayState: Equatable, Sendable {
  case starting
  /// Another relay is active; this one takes over when the other stops.
  case standby(holder: String)
  case streaming
  /// The last attempt failed; the next one starts after a delay.
  case failing(reason: String)

  var isStandby: Bool { if case .standby = self { true } else { false } }

  var number: Int {
    switch self {
    case .starting: 0
    case .standby: 1
    case .streaming: 2
    case .failing: 3
    }
  }
}
