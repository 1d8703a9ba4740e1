import Kafka

/// Where messages go. Each is reported once it is safe there, in any order.
protocol MessageSink: AnyObject {
  /// Messages of the batch that will never be taken, and why.
  func refusals(_ batch: MessageBatch) async throws -> [Int: String]
  /// Topics may have other settings by now: they are asked for again.
  func forgetLimits()
  /// Takes every message of the batch, in order, waiting for room as long as it takes.
  ///
  /// - Parameter whileWaiting: Called about twice a second while there is no room.
  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws
  /// Waits for reports, half a second at most.
  func waitForReports() async throws(CancellationError)
  /// Messages taken and not reported.
  var inFlight: Int { get }
  /// The error after which nothing more can be sent, if there was one.
  var fatalError: KafkaError? { get }
  func close() async
}

/// Takes messages and forgets them: shows what reading and encoding alone cost.
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
