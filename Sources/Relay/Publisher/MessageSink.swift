import Kafka

/// Destination of messages. It reports each message once it is stored safely, in any order.
protocol MessageSink: AnyObject {
  /// Indices of the batch's messages that the sink may refuse. They are sent alone, unless it is certain.
  func doubts(_ batch: MessageBatch) async throws -> [Int: Doubt]
  /// Sends the one message of a batch while nothing is in flight, and waits for the answer. It is not reported.
  ///
  /// - Returns: Why the sink will never accept the message; nil: it is delivered.
  func probe(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws -> String?
  /// Looks at the topics from time to time; returns those whose keys go to other partitions from now on.
  func examine() async throws -> [PartitionChange]
  /// Discards the known settings of topics, which may have changed.
  func forgetLimits()
  /// Accepts every message of the batch, in order. Waits for room without a time limit.
  ///
  /// - Parameter whileWaiting: Called at least about twice a second while there is no room.
  /// - Throws: `MessageRefused` for a message that cannot be accepted. Those before it are.
  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws
  /// Waits for reports, half a second at most.
  func waitForReports() async throws(CancellationError)
  /// Number of messages accepted but not reported yet.
  var inFlight: Int { get }
  /// A fatal error, after which nothing more can be sent; nil: none.
  var fatalError: KafkaError? { get }
  func close() async
}

extension MessageSink {
  func examine() async throws -> [PartitionChange] { [] }
}

/// A topic has another number of partitions than before. The keys' messages are then in two partitions each, and a reader
/// may see the later one first.
struct PartitionChange: Equatable {
  let topic: String
  let before: Int
  let after: Int

  static func between(_ before: [String: Int], _ after: [String: Int]) -> [PartitionChange] {
    before.keys.sorted().compactMap { topic in
      guard let (old, new) = before[topic].flatMap({ old in after[topic].map { (old, $0) } }), old != new else {
        return nil
      }
      return PartitionChange(topic: topic, before: old, after: new)
    }
  }
}

/// Why a message may be refused.
struct Doubt {
  let reason: String
  /// True if it need not be sent: its topic does not exist and cannot be created.
  let isCertain: Bool
}

/// A message of a batch that the sink does not accept.
struct MessageRefused: Error, CustomStringConvertible {
  let index: Int
  let reason: String
  var description: String { reason }
}

/// Discards all messages, to measure the cost of reading and encoding alone.
final class DiscardingSink: MessageSink {
  private let onReports: (DeliveryReports) -> Void

  init(onReports: @escaping (DeliveryReports) -> Void) { self.onReports = onReports }

  func doubts(_ batch: MessageBatch) -> [Int: Doubt] { [:] }
  func probe(_ batch: MessageBatch, whileWaiting: () async throws -> Void) -> String? { nil }

  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) {
    if !batch.isEmpty { onReports(DeliveryReports(delivered: batch.messages.map { $0.transaction + 1 })) }
  }

  func forgetLimits() {}
  func waitForReports() {}
  var inFlight: Int { 0 }
  var fatalError: KafkaError? { nil }
  func close() {}
}
