public import Kafka
public import Postgres

/// What a relay reads, where it publishes, and its bounds.
public struct RelayOptions: Sendable {
  public var postgres: PostgresOptions
  public var kafka: KafkaOptions
  public var slot: String
  public var publication: String
  public var topic: TopicTemplate
  /// Debezium's `topic.prefix`: the source's logical name in envelopes.
  public var name: String
  /// Of topics that the relay makes.
  public var partitions: Int
  public var compression: String
  /// Messages that wait for their acknowledgement, in bytes.
  public var maximumInFlight: Int
  /// Between confirmations to Postgres while there is something to confirm.
  public var confirmInterval: Duration
  /// This program's version, for envelopes.
  public var version: String

  public init(
    postgres: PostgresOptions, kafka: KafkaOptions, slot: String = "annals_relay",
    publication: String = "annals_outbox", topic: TopicTemplate, name: String = "cdc", partitions: Int = 6,
    compression: String = "none", maximumInFlight: Int = 32 << 20, confirmInterval: Duration = .milliseconds(100),
    version: String
  ) {
    (self.postgres, self.kafka, self.slot, self.publication) = (postgres, kafka, slot, publication)
    (self.topic, self.name, self.partitions, self.compression) = (topic, name, partitions, compression)
    (self.maximumInFlight, self.confirmInterval, self.version) = (maximumInFlight, confirmInterval, version)
  }
}
