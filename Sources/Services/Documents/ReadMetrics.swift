import Metrics

/// Counts where the rows of documents came from.
struct ReadMetrics: Sendable {
  let memory: Counter
  let redis: Counter
  let log: Counter

  init(_ metrics: MetricsRegistry) {
    func counter(_ source: String) -> Counter {
      metrics.counter(
        "annals_document_reads_total", ["source": source],
        help: "Reads of documents by where the row came from: memory, redis or log.")
    }
    (memory, redis, log) = (counter("memory"), counter("redis"), counter("log"))
  }
}
