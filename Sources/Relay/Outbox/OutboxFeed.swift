package import Logging
import Postgres
import Identifiers
import Schema

/// Annals' own outbox as a feed: from a slot, or from the table.
package struct OutboxFeed: Feed {
  private let topic: TopicTemplate
  private let name: String

  /// - Parameters:
  ///   - topic: Gives each event's topic.
  ///   - name: The logical name in envelopes, Debezium's `topic.prefix`.
  package init(topic: TopicTemplate, name: String) { (self.topic, self.name) = (topic, name) }

  package func makeReader(_ options: RelayOptions, logger: Logger) -> any FeedReader { Reader(feed: self) }

  private final class Reader: FeedReader {
    private let feed: OutboxFeed
    /// Kept across attempts, so that the next one still knows which transactions this process has published.
    private let watermark = Watermark()
    private var epoch: Int32 = 0

    init(feed: OutboxFeed) { self.feed = feed }

    private static let logIdentity = Query("log_identity", Schema.logIdentity)

    func identify(over session: PostgresSession) async throws -> FeedIdentity? {
      // Transaction ids of another server would mislead the whole relay (G10).
      try await session.execute("select annals.check_server()", name: "checking whose server this is")
      guard let log = try await session.query(Self.logIdentity).first else {
        throw ReplicationError.outOfPlace("a log without an identity")
      }
      epoch = Int32(try log.get(1, as: Int.self))
      return FeedIdentity(owner: try log.get(0, as: UUID.self).description, epoch: epoch)
    }

    func source(for attempt: Attempt) -> any ChangeSource {
      let options = attempt.options
      let watermark = options.source == .wal && !options.isLooking ? watermark : nil
      let reading = OutboxReading(
        attempt: attempt,
        encoder: OutboxEncoder(version: options.version, name: feed.name, topic: feed.topic, watermark: watermark),
        epoch: epoch)
      return switch options.source {
      case .wal: SlotSource(attempt, OutboxStream(reading, watermark))
      case .table(let shard, let shards): TableSource(reading, shard: shard, of: shards)
      }
    }
  }
}
