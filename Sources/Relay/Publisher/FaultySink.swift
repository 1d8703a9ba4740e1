#if DEBUG
  import Glibc
  import Kafka

  /// A sink that breaks a promise on purpose: `make test-relay SCENARIO=mutants` shows that the checkers convict it. In debug
  /// builds only, by the variable RELAY_FAULT.
  final class FaultySink: MessageSink {
    enum Fault: String {
      /// One message in 300 is not sent, and said to be delivered.
      case drop
      /// The first two messages of a key in a batch change places.
      case swap
      /// Messages are said to be delivered when they are sent.
      case early

      static var wanted: Fault? { getenv("RELAY_FAULT").flatMap { Fault(rawValue: String(cString: $0)) } }
    }

    private let fault: Fault
    private let inner: any MessageSink
    private let onReports: (DeliveryReports) -> Void
    private var count = 0

    /// - Parameter make: Makes the real sink with the reports' receiver that this one gives it.
    init(
      _ fault: Fault, onReports: @escaping (DeliveryReports) -> Void,
      _ make: (@escaping (DeliveryReports) -> Void) throws -> any MessageSink
    ) rethrows {
      (self.fault, self.onReports) = (fault, onReports)
      inner = try make(fault == .early ? { _ in } : onReports)
    }

    func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws {
      var order = Array(batch.messages.indices)
      switch fault {
      case .drop:
        order.removeAll { index in
          count += 1
          guard count % 300 == 0 else { return false }
          onReports(DeliveryReports(delivered: [batch.messages[index].transaction + 1]))
          return true
        }
      case .swap:
        var first: [MessageBatch.Key: Int] = [:]
        for index in batch.messages.indices {
          let key = batch.key(of: batch.messages[index])
          if let other = first[key] {
            order.swapAt(other, index)
            break
          }
          first[key] = index
        }
      case .early: onReports(DeliveryReports(delivered: batch.messages.map { $0.transaction + 1 }))
      }
      try await inner.send(batch.keeping(order), whileWaiting: whileWaiting)
    }

    func doubts(_ batch: MessageBatch) async throws -> [Int: Doubt] { try await inner.doubts(batch) }
    func probe(_ batch: MessageBatch, whileWaiting: () async throws -> Void) async throws -> String? {
      try await inner.probe(batch, whileWaiting: whileWaiting)
    }
    func forgetLimits() { inner.forgetLimits() }
    func waitForReports() async throws(CancellationError) { try await inner.waitForReports() }
    var inFlight: Int { inner.inFlight }
    var fatalError: KafkaError? { inner.fatalError }
    func close() async { await inner.close() }
  }
#endif
