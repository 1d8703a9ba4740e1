import Kafka
import Logging
import Reactor
import Synchronization

/// Compares a group's places with the topics. A topic that was deleted and created again has other messages at the same offsets. With each offset the time of the message before it is committed; when partitions are taken over,
/// that message is read and its time compared.
///
/// The consumer does not wait for the result: versions fence what it applies meanwhile, and the generation is rebuilt.
final class PlaceCheck: Sendable {
  private let result = Mutex<KafkaConsumer.PlaceLost?>(nil)
  private let kafka: KafkaOptions
  private let reactor: Reactor
  private let logger: Logger

  init(_ kafka: KafkaOptions, on reactor: Reactor, logger: Logger) {
    (self.kafka, self.reactor, self.logger) = (kafka, reactor, logger)
  }

  static func note(of message: KafkaMessage) -> String? { message.timestamp.map { "\($0)" } }

  /// - Throws: What was found so far.
  func check() throws(KafkaConsumer.PlaceLost) {
    if let lost = result.withLock({ $0 }) { throw lost }
  }

  /// Begins to compare the places of partitions that are taken over.
  func look(at places: [TopicPartition: GroupPlace]) {
    let noted = places.filter { $0.value.note != nil && $0.value.offset > 0 }
    guard !noted.isEmpty else { return }
    Task { await compare(noted) }
  }

  private func compare(_ places: [TopicPartition: GroupPlace]) async {
    let admin = KafkaAdmin(kafka)
    var backoff = Backoff(first: .seconds(1), limit: .seconds(60))
    while backoff.attempts < 30 {
      do {
        let found = try await admin.messages(at: places.mapValues { $0.offset - 1 })
        for (partition, place) in places {
          // A message that is gone tells nothing.
          guard let message = found[partition], message.offset == place.offset - 1, "\(message.timestamp)" != place.note
          else {
            continue
          }
          let reason = "offset \(message.offset) has another message than was read there: the topic was made anew"
          result.withLock { $0 = KafkaConsumer.PlaceLost(partition: partition, reason: reason) }
        }
        return
      } catch {
        logger.info("The places in Kafka could not be compared yet", metadata: [.error: "\(error)"])
        do { try await reactor.sleep(for: backoff.next()) } catch { return }
      }
    }
  }
}
