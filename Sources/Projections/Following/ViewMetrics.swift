import Kafka
import Metrics
import Synchronization
import Time
import Tracing

/// Metrics of one view, and what keeps it from going on.
final class ViewMetrics: Sendable {
  let changes: Counter
  let failures: Counter
  let rebuilds: Counter
  let batch: Histogram
  let parked: Gauge
  let generation: Gauge
  private let lagTrend: Gauge
  private let lagSeconds: Gauge
  private let view: String
  private let registry: MetricsRegistry
  private let looks = Mutex<(at: ContinuousClock.Instant, messages: Int64, gauges: [TopicPartition: Gauge])>(
    (.now, 0, [:]))
  private let present = Mutex<String?>(nil)

  /// Takes the spans of changes; nil: none are recorded.
  let tracer: Tracer?

  init(view: String, _ registry: MetricsRegistry, tracer: Tracer? = nil) {
    (self.view, self.registry, self.tracer) = (view, registry, tracer)
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
    lagTrend = registry.gauge(
      "annals_projection_lag_trend", labels,
      help:
        "Messages per second by which the lag of this process's partitions grew in the last ten seconds; negative: it shrank."
    )
    lagSeconds = registry.gauge(
      "annals_projection_lag_seconds", labels,
      help: "Age of the newest applied message, in seconds, while there are others behind it; 0 at the end.")
  }

  /// - Parameter newest: Milliseconds since 1970.
  func note(lag: [TopicPartition: Int64], newest: Int64?, isAtEnd: Bool) {
    let messages = isAtEnd ? 0 : lag.values.reduce(0, +)
    looks.withLock { looks in
      for (partition, count) in lag { gauge(of: partition, &looks.gauges).set(isAtEnd ? 0 : count) }
      // Another process has it now.
      for (partition, gauge) in looks.gauges where lag[partition] == nil { gauge.set(0) }
      let passed = ContinuousClock.now - looks.at
      guard passed >= .seconds(10) else { return }
      lagTrend.set((messages - looks.messages) / max(1, passed.components.seconds))
      (looks.at, looks.messages) = (.now, messages)
    }
    let age = newest.map { max(0, Timestamp.now().microseconds / 1_000 - $0) / 1_000 } ?? 0
    lagSeconds.set(messages == 0 ? 0 : age)
  }

  private func gauge(of partition: TopicPartition, _ gauges: inout [TopicPartition: Gauge]) -> Gauge {
    if let known = gauges[partition] { return known }
    let gauge = registry.gauge(
      "annals_projection_lag_messages",
      ["view": view, "topic": partition.topic, "partition": "\(partition.partition)"],
      help: "Messages of a partition of this process that are not applied yet.")
    gauges[partition] = gauge
    return gauge
  }

  func problem(_ text: String?) { present.withLock { $0 = text } }

  var problem: String? { present.withLock { $0 } }
}
