public import Kafka
public import Postgres

/// Options of a relay: source, destination and limits.
public struct RelayOptions: Sendable {
  /// Where Annals' outbox is read from.
  public enum Source: Equatable, Sendable {
    /// From a replication slot.
    case wal
    /// From the table, limited to the keys whose hash falls into this shard.
    case table(shard: Int, of: Int)
  }

  public enum DeliveryGuarantee: String, CaseIterable, Sendable {
    case atLeastOnce = "at-least-once"
    /// The source's position is written in the same Kafka transactions as the messages. Consumers must read committed
    /// messages only.
    case exactlyOnce = "exactly-once"
  }

  /// Where messages go.
  public enum Destination: String, CaseIterable, Sendable {
    case kafka
    /// Printed to standard output, a line of JSON each.
    case print
    /// Discarded.
    case nothing
  }

  /// True if messages are only looked at. Nothing that a relay relies on is then moved or recorded.
  var isLooking: Bool { destination != .kafka }

  public var postgres: PostgresOptions
  public var kafka: KafkaOptions
  package var feed: any Feed
  public var source = Source.wal
  public var delivery = DeliveryGuarantee.atLeastOnce
  public var destination = Destination.kafka
  public var slot: String
  public var publication: String
  /// Number of partitions of topics that the relay creates.
  public var partitions: Int
  /// Replicas of their partitions; nil: the brokers' default.
  public var replication: Int?
  /// False: a topic that does not exist stops the relay.
  public var createsTopics = true
  public var compression: String
  /// Limit on unacknowledged messages, in bytes.
  public var maximumInFlight: Int
  /// Interval between confirmations to Postgres while there is something new to confirm.
  public var confirmInterval: Duration
  /// WAL lag in bytes above which Annals' outbox is read from the table instead; 0: never.
  public var catchUp = 64 << 20
  /// Skip changes that logical replication brought to this server from another one.
  public var skipsForeignOrigins = false
  /// Directory for large transactions in progress, used once their total size exceeds `spoolMemory` bytes.
  public var spoolDirectory = "/tmp"
  public var spoolMemory = 32 << 20
  /// How long another relay may hold the name without reading the slot, before this is a problem. A host that is gone loses
  /// its sessions within a minute (keepalives).
  var standbyPatience = Duration.seconds(60)
  /// This program's version, for envelopes.
  public var version: String

  package init(
    postgres: PostgresOptions, kafka: KafkaOptions, feed: any Feed, slot: String = "annals_relay",
    publication: String = "annals_outbox", partitions: Int = 6, compression: String = "lz4",
    maximumInFlight: Int = 32 << 20, confirmInterval: Duration = .milliseconds(100), version: String
  ) {
    (self.postgres, self.kafka, self.feed, self.slot, self.publication) = (postgres, kafka, feed, slot, publication)
    (self.partitions, self.compression) = (partitions, compression)
    (self.maximumInFlight, self.confirmInterval, self.version) = (maximumInFlight, confirmInterval, version)
  }
}
