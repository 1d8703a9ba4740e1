import Elasticsearch
public import Kafka
public import Logging
public import Metrics
public import Reactor
import Redis
import S3

/// Keeps one view up to date from Kafka: reads a batch, applies it, commits its offsets, in this order. A failed batch
/// is retried with increasing delays until it succeeds. No message is skipped.
public actor ProjectionRunner {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let view: any View
  private let kafka: KafkaOptions
  private let topics: [String]
  private let group: String
  private let instance: String?
  private let logger: Logger
  private let applied: Counter
  private let failures: Counter
  private let batchTimer: Histogram

  static let maximumBatch = 1_000

  /// - Parameters:
  ///   - group: Prefix of the consumer group's name; the view's name is appended.
  ///   - instance: The runner's member name in the group (group.instance.id), kept across restarts; nil: none.
  public init(
    _ view: any View, topics: [String], kafka: KafkaOptions, group: String, instance: String? = nil,
    on reactor: Reactor, logger: Logger, metrics: MetricsRegistry
  ) {
    (self.view, self.topics, self.kafka, self.reactor) = (view, topics, kafka, reactor)
    (self.group, self.instance) = ("\(group)-\(view.name)", instance)
    self.logger = logger.labelled("project").with("view", view.name)
    applied = metrics.counter(
      "annals_projection_changes_total", ["view": view.name], help: "Changes applied to a view.")
    failures = metrics.counter(
      "annals_projection_failures_total", ["view": view.name], help: "Batches that failed and were retried.")
    batchTimer = metrics.timer(
      "annals_projection_batch_seconds", ["view": view.name],
      help: "Time from reading a batch to committing its offsets, in seconds.")
  }

  /// Runs until the task is cancelled.
  public func run() async {
    // Nonisolated async calls also resume on this reactor, not on the global executor.
    await withTaskExecutorPreference(reactor) { await project() }
  }

  private func project() async {
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    while !Task.isCancelled {
      do {
        try await attempt { backoff.reset() }
      } catch is CancellationError {
        return
      } catch {
        failures.increment()
        let delay = backoff.next()
        logger.warning(
          "The projection failed and will restart after a delay",
          metadata: [.error: "\(error)", .attempt: "\(backoff.attempts)", .delay: "\(delay)"])
        do { try await reactor.sleep(for: delay) } catch { return }
      }
    }
  }

  private func attempt(_ progressed: () -> Void) async throws {
    try await view.prepare()
    let consumer = try KafkaConsumer(
      kafka, group: group, instance: instance, topics: topics, on: reactor, logger: logger)
    do {
      while true {
        let messages = try await consumer.next(maximum: Self.maximumBatch, timeout: .seconds(5))
        try Task.checkCancellation()
        guard !messages.isEmpty else { continue }
        let start = ContinuousClock.now
        try await apply(messages)
        var offsets: [TopicPartition: Int64] = [:]
        for message in messages { offsets[message.source] = max(offsets[message.source] ?? 0, message.offset + 1) }
        // Only the new owner may commit offsets of a partition that was revoked in the meantime.
        try consumer.commit(offsets.filter { consumer.assignment.contains($0.key) })
        batchTimer.record(.now - start)
        progressed()
      }
    } catch {
      await consumer.close()
      throw error
    }
  }

  private func apply(_ messages: [KafkaMessage]) async throws {
    var changes: [ViewChange] = []
    for message in messages {
      if let change = try ViewChange(message) { changes.append(change) }
    }
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    // Kafka allows five minutes between two polls. After that, another member of the group reads the batch again.
    while true {
      do {
        try await view.apply(ViewChange.newest(of: changes))
        applied.increment(by: changes.count)
        return
      } catch {
        guard backoff.attempts < 20, Self.isRetriable(error) else { throw error }
        failures.increment()
        let delay = backoff.next()
        logger.warning(
          "A batch could not be applied and will be retried",
          metadata: [
            .error: "\(error)", .count: "\(changes.count)", .attempt: "\(backoff.attempts)", .delay: "\(delay)",
          ])
        try await reactor.sleep(for: delay)
      }
    }
  }

  private static func isRetriable(_ error: any Error) -> Bool { (error as? any RetriableError)?.isRetriable ?? false }
}

extension ElasticsearchError: RetriableError {}
extension RedisError: RetriableError {}
extension S3Error: RetriableError {}
