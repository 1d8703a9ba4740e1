import Kafka
import Logging
import Reactor
import Relay

/// Makes the topics of this program's own streams when the relay starts, before their first message: a consumer finds a topic
/// that appears later only at its next look at the metadata, and its group then shares out the partitions again.
///
/// Without the right to create topics, or while Kafka is away, nothing is lost: the relay makes a topic with its first message.
struct OutboxTopics: Sendable {
  let names: [String]
  let kafka: KafkaOptions
  let partitions: Int
  let replication: Int?
  let reactor: Reactor
  let logger: Logger

  /// Tries until all are there, or may not be made.
  func make() async {
    let admin = KafkaAdmin(kafka)
    var backoff = Backoff(first: .milliseconds(200), limit: .seconds(10))
    for name in names {
      while !Task.isCancelled {
        do {
          guard try await admin.partitions(of: name) == nil else { break }
          if try await admin.createTopic(name, partitions: partitions, replication: replication) {
            logger.notice("Topic created", metadata: ["topic": name, "partitions": "\(partitions)"])
          }
          break
        } catch {
          guard error.kind == .temporary else {
            logger.info("A topic is not made before its first message", metadata: ["topic": name, .error: "\(error)"])
            break
          }
          do { try await reactor.sleep(for: backoff.next()) } catch { return }
        }
      }
    }
  }
}
