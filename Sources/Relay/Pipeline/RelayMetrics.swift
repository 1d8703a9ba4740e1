import Kafka
import Metrics
import Postgres

/// What a relay measures, under its stable names.
struct RelayMetrics: Sendable {
  let rows: Counter
  let delivered: Counter
  let catchUps: Counter
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
  let snapshotRows: Gauge
  let snapshotTablesLeft: Gauge

  init(_ registry: MetricsRegistry) {
    rows = registry.counter("annals_relay_rows_total", help: "Outbox rows read from the source.")
    delivered = registry.counter("annals_relay_delivered_total", help: "Messages that Kafka acknowledged.")
    self.registry = registry
    catchUps = registry.counter(
      "annals_relay_catch_ups_total", help: "Times the outbox was read from the table because the WAL was far behind.")
    batchSize = registry.histogram(
      "annals_relay_batch_messages", bounds: [1, 4, 16, 64, 256, 1_024, 4_096, 16_384],
      help: "Messages that were handed to Kafka at once.")
    parked = registry.counter("annals_relay_parked_total", help: "Messages that were parked instead of being sent.")
    parkedKeys = registry.gauge("annals_relay_parked_keys", help: "Keys of which messages are parked.")
    inFlight = registry.gauge("annals_relay_in_flight", help: "Messages sent and not acknowledged.")
    confirmedLSN = registry.gauge("annals_relay_confirmed_lsn", help: "Confirmed position in the WAL, in bytes.")
    unconfirmedBytes = registry.gauge(
      "annals_relay_lag_bytes", help: "WAL that the server has sent and that is not confirmed, in bytes.")
    lagSeconds = registry.gauge(
      "annals_relay_lag_seconds", help: "Since the commit of the last transaction that came, while it is not confirmed."
    )
    lagEvents = registry.gauge(
      "annals_relay_lag_events",
      help: "Events of the outbox that have been numbered and not acknowledged, looked at every five seconds.")
    retained = registry.gauge(
      "annals_relay_retained_wal_bytes", help: "WAL that the server keeps for the slot, looked at every five seconds.")
    snapshotRows = registry.gauge(
      "annals_relay_snapshot_rows", help: "Rows that the first reading of the tables has found so far.")
    snapshotTablesLeft = registry.gauge(
      "annals_relay_snapshot_tables_left", help: "Tables that the first reading has not come to the end of.")
    state = registry.gauge(
      "annals_relay_state", help: "0 starting, 1 waiting for another relay, 2 streaming, 3 failing.")
  }
}

extension RelayMetrics {
  /// Counts an error after which the relay begins anew.
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
    registry.counter(
      "annals_relay_errors_total", ["kind": kind], help: "Errors after which the relay began anew, by their kind."
    ).increment()
  }
}

/// What a relay is doing.
public enum RelayState: Equatable, Sendable {
  case starting
  /// Another relay holds the slot; this one takes over when it goes.
  case standby
  case streaming
  /// The last try failed; the next one comes after a delay.
  case failing(reason: String)

  var number: Int {
    switch self {
    case .starting: 0
    case .standby: 1
    case .streaming: 2
    case .failing: 3
    }
  }
}
