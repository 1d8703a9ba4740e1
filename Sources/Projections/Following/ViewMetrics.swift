import Kafka
import Metrics
import Synchronization
import Time

/// Metrics of one view, and what keeps it from going on.
final class ViewMetrics: Sendable {
  let changes: Counter
  let failures: Counter
  let rebuilds: Counter
  let batch: Histogram
  let parked: Gauge
  let generation: Gauge
  private let lagMessages: Gauge
  private let lagSeconds: Gauge
  private let present = Mutex<String?>(nil)

  init(view: String, _ registry: MetricsRegistry) {
    let labels: KeyValuePairs = ["view": view]
    changes = registry.counter("annals_projection_changes_total", labels, help: "Changes applied to a view.")
    failures = registry.counter(
      "annals_projection_failures_total", labels, help: "Batches that failed and were retried.")
    rebuilds = registry.counter("annals_projection_rebuilds_total", labels, help: "Rebuilds that this process began.")
    batch = registry.timer(
      "annals_projection_batch_seconds", labels,
      help: "Time from reading a batch to committing its offsets, in seconds.")
    parked = registry.gauge("annals_projection_parked_streams", labels, help: "Streams that a view has parked.")
    generation = registry.gauge("annals_projection_generation", labels, help: "The generation that is followed.")
    lagMessages = registry.gauge(
      "annals_projection_lag_messages", labels, help: "Messages of this process's partitions that are not applied yet.")
    lagSeconds = registry.gauge(
      "annals_projection_lag_seconds", labels,
      help: "Age of the newest applied message, in seconds, while there are others behind it; 0 at the end.")
  }

  /// - Parameter newest: Milliseconds since 1970.
  func note(lag: [TopicPartition: Int64], newest: Int64?, isAtEnd: Bool) {
    let messages = isAtEnd ? 0 : lag.values.reduce(0, +)
    let age = newest.map { max(0, Timestamp.now().microseconds / 1_000 - $0) / 1_000 } ?? 0
    lagMessages.set(messages)
    lagSeconds.set(messages == 0 ? 0 : age)
  }

  func problem(_ text: String?) { present.withLock { $0 = text } }

  var problem: String? { present.withLock { $0 } }
}
