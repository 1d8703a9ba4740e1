import Glibc
import JSON
import Kafka

/// Prints each message to standard output as a line of JSON, in the relay's order, to show what would be sent.
final class PrintingSink: MessageSink {
  private let onReports: (DeliveryReports) -> Void

  init(onReports: @escaping (DeliveryReports) -> Void) { self.onReports = onReports }

  func doubts(_ batch: MessageBatch) -> [Int: Doubt] { [:] }
  func probe(_ batch: MessageBatch, whileWaiting: () async throws -> Void) throws -> String? {
    try send(batch, whileWaiting: whileWaiting)
    return nil
  }

  func send(_ batch: MessageBatch, whileWaiting: () async throws -> Void) throws {
    guard !batch.isEmpty else { return }
    var writer = JSONWriter(reserving: batch.byteCount * 2)
    for message in batch.messages {
      line(message, of: batch, &writer)
      writer.raw("\n")
    }
    var written = 0
    while written < writer.bytes.count {
      let count = writer.bytes.withUnsafeBytes { write(1, $0.baseAddress! + written, $0.count - written) }
      guard count > 0 || errno == EINTR else { throw PrintingFailed(reason: String(cString: strerror(errno))) }
      written += max(0, count)
    }
    onReports(DeliveryReports(delivered: batch.messages.map { $0.transaction + 1 }))
  }

  private func line(_ message: MessageBatch.Message, of batch: MessageBatch, _ writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("topic", batch.topics[message.topic])
      writer.name("partition")
      if let partition = message.partition { writer.integer(Int64(partition)) } else { writer.null() }
      writer.name("timestamp")
      if let timestamp = message.timestamp { writer.integer(timestamp) } else { writer.null() }
      writer.member("key", orNull: message.key.map(batch.text))
      writer.member("value", orNull: message.value.map(batch.text))
      writer.objects("headers", of: batch.headers[message.headers]) { writer, header in
        writer.member("key", batch.text(header.name))
        writer.member("value", orNull: header.value.map(batch.text))
      }
    }
  }

  struct PrintingFailed: Error, CustomStringConvertible {
    let reason: String
    var description: String { "writing to standard output failed: \(reason)" }
  }

  func forgetLimits() {}
  func waitForReports() {}
  var inFlight: Int { 0 }
  var fatalError: KafkaError? { nil }
  func close() {}
}
