import Kafka
import Logging
import Synchronization

/// Looks whether a group's places are still those of the topics that it has read. A topic that was deleted and made anew has other
/// messages at the same offsets. With each offset the time of the message before it is committed; when partitions are taken over,
/// that message is read and its time compared.
///
/// It runs beside the following: what is applied meanwhile is fenced by versions, and the generation is built anew.
final class PlaceCheck: Sendable {
  private let result = Mutex<KafkaConsumer.PlaceLost?>(nil)
  private let kafka: KafkaOptions
  private let group: String
  private let logger: Logger

  init(_ kafka: KafkaOptions, group: String, logger: Logger) {
    (self.kafka, self.group, self.logger) = (kafka, group, logger)
  }

  static func note(of message: KafkaMessage) -> String? { message.timestamp.map { "\($0)" } }

  /// - Throws: What was found so far.
  func check() throws(KafkaConsumer.PlaceLost) {
    if let lost = result.withLock({ $0 }) { throw lost }
  }

  /// Begins to look at partitions.
  func look(at partitions: Set<TopicPartition>) {
    guard !partitions.isEmpty else { return }
    Task { await run(partitions) }
  }

  private func run(_ partitions: Set<TopicPartition>) async {
    let admin = KafkaAdmin(kafka)
    do {
      let places = try await admin.places(of: group, Array(partitions)).filter {
        $0.value.note != nil && $0.value.offset > 0
      }
      let found = try await admin.messages(at: places.mapValues { $0.offset - 1 })
      for (partition, place) in places {
        // A message that is gone tells nothing.
        guard let message = found[partition], message.offset == place.offset - 1, "\(message.timestamp)" != place.note
        else {
          continue
        }
        let lost = KafkaConsumer.PlaceLost(
          partition: partition,
          reason: "offset \(message.offset) has another message than was read there: the topic was made anew")
        result.withLock { $0 = lost }
      }
    } catch {
      // Whoever takes the partitions over next looks again.
      logger.info("The places in Kafka could not be compared", metadata: [.error: "\(error)"])
    }
  }
}
