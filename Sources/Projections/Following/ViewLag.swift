public import Kafka
import Reactor
import Time

/// How far a view's generation is behind its topics, as Kafka tells it to anybody: messages, age and trend.
public struct ViewLag: Equatable, Sendable, CustomStringConvertible {
  public struct Part: Equatable, Sendable {
    public let partition: TopicPartition
    public let messages: Int64
    /// Age of the oldest message that is not applied, in seconds; nil: there is none, or it tells no time.
    public let seconds: Int64?
  }

  /// Partitions that are behind, by topic and number.
  public let parts: [Part]
  /// Messages per second by which the lag grows; negative: it shrinks.
  public let trend: Double

  public var messages: Int64 { parts.reduce(0) { $0 + $1.messages } }
  public var seconds: Int64 { parts.compactMap(\.seconds).max() ?? 0 }

  /// Looks twice, a second apart.
  static func measure(group: String, topics: [String], _ kafka: KafkaOptions, on reactor: Reactor) async throws
    -> ViewLag
  {
    let admin = KafkaAdmin(kafka, timeout: .seconds(5))
    let begin = ContinuousClock.now
    let before = try await admin.backlog(of: group, topics: topics)
    guard before.values.contains(where: { $0 > 0 }) else { return ViewLag(parts: [], trend: 0) }
    try await reactor.sleep(for: .seconds(1))
    let after = try await admin.backlog(of: group, topics: topics)
    let passed = Double((ContinuousClock.now - begin) / .milliseconds(1)) / 1_000
    let times = try await admin.oldest(after.filter { $0.value > 0 }.map(\.key), of: group)
    let now = Timestamp.now().microseconds / 1_000
    let parts = after.filter { $0.value > 0 }.map { partition, messages in
      Part(
        partition: partition, messages: messages, seconds: times[partition].map { max(0, now - $0) / 1_000 })
    }.sorted { ($0.partition.topic, $0.partition.partition) < ($1.partition.topic, $1.partition.partition) }
    let growth = after.values.reduce(0, +) - before.values.reduce(0, +)
    return ViewLag(parts: parts, trend: Double(growth) / passed)
  }

  /// `1234 messages behind, the oldest 3 s old, falling by 500/s`
  public var description: String {
    guard messages > 0 else { return "up to date" }
    let rate = Int(trend.magnitude.rounded())
    let direction = rate == 0 ? "steady" : trend > 0 ? "growing by \(rate)/s" : "falling by \(rate)/s"
    return "\(messages) messages behind, the oldest \(seconds) s old, \(direction)"
  }
}
