import Kafka
import Metrics
import Time
import Tracing

/// Delivery results of messages in flight. The sink's report closure retains only this object.
final class Acknowledgements {
  var tracker = ConfirmationTracker()
  /// Keys of messages that were in refused batches, and how many of each. Kafka refuses a batch as a whole, so the next attempt
  /// sends them alone.
  private(set) var suspects: [MessageBatch.Key: Int]
  /// Messages of each key that were sent alone and are none.
  private var cleared: [MessageBatch.Key: Int] = [:]
  /// Messages that Kafka refused when they were sent alone, and why. The next attempt parks them.
  var refused: [MessageBatch.Identity: String]
  private(set) var failure: KafkaError?
  /// Time of the last acknowledgement, or of the last check with no message in flight.
  private(set) var latest = ContinuousClock.now
  private let metrics: RelayMetrics

  /// - Parameter earlier: Of the attempt before this one, whose findings count.
  init(after earlier: Acknowledgements? = nil, metrics: RelayMetrics) {
    (suspects, refused, self.metrics) = (earlier?.suspects ?? [:], earlier?.refused ?? [:], metrics)
    // The refused one was behind those that were sent alone, and they come again: look further this time.
    guard let earlier, earlier.failure?.kind == .refused else { return }
    for (key, count) in suspects { suspects[key] = count + 2 * (earlier.cleared[key] ?? 0) }
  }

  func take(_ reports: DeliveryReports) {
    if !reports.delivered.isEmpty { latest = .now }
    // Tokens are transactions, counted from 1: librdkafka's opaque pointer cannot be null.
    for token in reports.delivered {
      tracker.acknowledged(token - 1)
      if !traced.isEmpty { end(token - 1, isDelivered: true) }
    }
    metrics.delivered.increment(by: reports.delivered.count)
    for report in reports.failed {
      failure = failure ?? report.error
      if report.error.kind == .refused, let topic = report.topic, suspects.count < Self.maximumSuspects {
        suspects[MessageBatch.Key(topic: topic, key: report.key), default: 0] += 1
      }
    }
  }

  // MARK: Traces

  private struct Traced {
    let context: TraceContext
    let topic: String
    let begun = Timestamp.now()
  }
  /// Messages in flight whose trace somebody wants to see, by transaction, in their order.
  private var traced: [Int: [Traced]] = [:]
  /// More are not followed at the same time.
  private static let maximumTraced = 10_000

  /// Follows messages until Kafka has them.
  func follow(_ traces: [(traceparent: String, transaction: Int, topic: String)]) {
    guard let tracer = metrics.tracer else { return }
    for trace in traces {
      guard traced.count < Self.maximumTraced, let context = tracer.place(trace.traceparent) else { continue }
      traced[trace.transaction, default: []].append(Traced(context: context, topic: trace.topic))
    }
  }

  /// Kafka has a message of a transaction, or it is parked.
  private func end(_ transaction: Int, isDelivered: Bool) {
    guard var waiting = traced[transaction] else { return }
    let message = waiting.removeFirst()
    traced[transaction] = waiting.isEmpty ? nil : waiting
    guard isDelivered else { return }
    metrics.tracer?.record(
      Span(
        "send \(message.topic)", .producer, message.context.child(), parent: message.context.span, begun: message.begun,
        [
          ("messaging.system", "kafka"), ("messaging.operation.name", "send"), ("messaging.operation.type", "send"),
          ("messaging.destination.name", .text(message.topic)),
        ]))
  }

  /// More are not known at the same time: a message that is not known to be a suspect becomes one again.
  static let maximumSuspects = 10_000

  /// Notes that a message of a key was sent alone.
  func examined(_ key: MessageBatch.Key) {
    guard let count = suspects[key] else { return }
    suspects[key] = count > 1 ? count - 1 : nil
    cleared[key, default: 0] += 1
  }

  /// A message that the database has, or that was delivered another way.
  func settled(_ transaction: Int, isDelivered: Bool) {
    tracker.acknowledged(transaction)
    if !traced.isEmpty { end(transaction, isDelivered: isDelivered) }
    if isDelivered {
      latest = .now
      metrics.delivered.increment()
    }
  }

  func measure() {
    metrics.inFlight.set(tracker.inFlight)
    if tracker.inFlight == 0 { latest = .now }
  }

  /// Problem report if messages are in flight and Kafka has acknowledged none of them for over 10 seconds.
  var problem: String? {
    let silence = ContinuousClock.now - latest
    guard tracker.inFlight > 0, silence > .seconds(10) else { return nil }
    return
      "Kafka has acknowledged nothing for \(silence.components.seconds) s; \(tracker.inFlight) messages are in flight"
  }
}
