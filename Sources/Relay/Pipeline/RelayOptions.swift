public import Kafka
public import Postgres

/// What a relay reads, where it publishes, and its bounds.
public struct RelayOptions: Sendable {
  /// What is relayed.
  public enum Feed: Sendable {
    /// Annals' own outbox: events to topics by template, under Debezium's `topic.prefix`.
    case outbox(topic: TopicTemplate, name: String)
    /// Any tables, as a Debezium connector with these options does.
    case connector(ConnectorOptions)
  }

  /// From where Annals' outbox is read.
  public enum Source: Equatable, Sendable {
    /// From a replication slot.
    case wal
    /// From the table, for those of its keys whose hash falls into this part.
    case table(shard: Int, of: Int)
  }

  public enum Delivery: String, CaseIterable, Sendable {
    case atLeastOnce = "at-least-once"
    /// For consumers that read committed messages: the source's position goes in the same Kafka transactions.
    case exactlyOnce = "exactly-once"
  }

  /// Where messages go.
  public enum Destination: String, CaseIterable, Sendable {
    case kafka
    /// Printed to standard output, a line of JSON each.
    case print
    /// Forgotten.
    case nothing
  }

  public var postgres: PostgresOptions
  public var kafka: KafkaOptions
  public var feed: Feed
  public var source = Source.wal
  public var delivery = Delivery.atLeastOnce
  public var destination = Destination.kafka
  public var slot: String
  public var publication: String
  /// Of topics that the relay makes.
  public var partitions: Int
  public var compression: String
  /// Messages that wait for their acknowledgement, in bytes.
  public var maximumInFlight: Int
  /// Between confirmations to Postgres while there is something to confirm.
  public var confirmInterval: Duration
  /// How far the WAL may lie behind before Annals' outbox is read from the table instead, in bytes; 0: however far.
  public var catchUp = 64 << 20
  /// What came here from elsewhere, by logical replication, is left out.
  public var skipsForeignOrigins = false
  /// Large transactions that still run are kept here once they are larger, all together, than `spoolMemory`.
  public var spoolDirectory = "/tmp"
  public var spoolMemory = 32 << 20
  /// This program's version, for envelopes.
  public var version: String

  public init(
    postgres: PostgresOptions, kafka: KafkaOptions, feed: Feed, slot: String = "annals_relay",
    publication: String = "annals_outbox", partitions: Int = 6, compression: String = "lz4",
    maximumInFlight: Int = 32 << 20, confirmInterval: Duration = .milliseconds(100), version: String
  ) {
    (self.postgres, self.kafka, self.feed, self.slot, self.publication) = (postgres, kafka, feed, slot, publication)
    (self.partitions, self.compression) = (partitions, compression)
    (self.maximumInFlight, self.confirmInterval, self.version) = (maximumInFlight, confirmInterval, version)
  }
}
