import Kafka

/// Destination of messages. It reports each message once it is stored safely, in any order.
protocol MessageSink: AnyObject {
  /// Indices of the batch's messages that the sink will never accept, with the reasons.
  func refusals(_ batch: MessageBatch) async throws -> [Int: String]
  /// Discards the known settings of topics, which may have changed.
  func forgetLimits()
  /// Accepts every message of the batch, in order. Waits for room without a time limit.
  ///
  /// - Parameter whileWaiting: Called at least about twice a second while there is no room.
  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws
  /// Waits for reports, half a second at most.
  func waitForReports() async throws(CancellationError)
  /// Number of messages accepted but not reported yet.
  var inFlight: Int { get }
  /// A fatal error, after which nothing more can be sent; nil: none.
  var fatalError: KafkaError? { get }
  func close() async
}

/// Discards all messages, to measure the cost of reading and encoding alone.
final class DiscardingSink: MessageSink {
  private let onReports: (DeliveryReports) -> Void

  init(onReports: @escaping (DeliveryReports) -> Void) { self.onReports = onReports }

  func refusals(_ batch: MessageBatch) -> [Int: String] { [:] }

  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) {
    if !batch.isEmpty { onReports(DeliveryReports(delivered: batch.messages.map { $0.transaction + 1 })) }
  }

  func forgetLimits() {}
  func waitForReports() {}
  var inFlight: Int { 0 }
  var fatalError: KafkaError? { nil }
  func close() {}
}
