public import CommandLine
public import Configuration
public import Relay

/// The settings of the relay.
public enum RelaySettings {
  public static let slot = Setting("relay.slot", default: "annals_relay", "Name of the relay's replication slot.")
  static let publication = Setting("relay.publication", default: "annals_outbox", "Name of the outbox's publication.")
  static let topic = Setting(
    "relay.topic", default: "cdc.{aggregate}s", "Names of topics; {aggregate} is the aggregate's category.",
    accepts: { TopicTemplate($0) != nil }, remedy: "a topic name with {aggregate} in it")
  static let name = Setting("relay.name", default: "cdc", "Logical name in change events (Debezium's topic.prefix).")
  static let partitions = Setting(
    "relay.partitions", default: 6, "Partitions of the topics that the relay creates.",
    accepts: { (1...10_000).contains($0) }, remedy: "a number from 1 to 10000")
  static let compression = Setting(
    "relay.compression", default: Compression.lz4, "Compression of the messages that the relay sends.")
  static let maximumInFlight = Setting(
    "relay.max-in-flight", default: ByteCount.mebibytes(32),
    "The most bytes of messages that wait for Kafka's acknowledgement.")
  static let source = Setting(
    "relay.source", default: RelaySource.wal,
    "Source of the outbox: wal (a replication slot), or table (needs no replication right).")
  static let shard = Setting(
    "relay.shard", default: "0/1",
    "With relay.source=table: the part of the keys that this relay reads, and the number of parts: 0/2 and 1/2 share the work.",
    accepts: { Shard($0) != nil }, remedy: "a part and the number of parts, such as 0/2")
  static let delivery = Setting(
    "relay.delivery", default: RelayOptions.DeliveryGuarantee.atLeastOnce,
    "at-least-once, or exactly-once: Kafka transactions, for consumers with isolation.level=read_committed.")
  static let catchUp = Setting(
    "relay.catch-up", default: ByteCount.mebibytes(64),
    "If the slot is further behind than this, the relay reads the outbox from the table instead; 0: never.")
  static let origins = Setting(
    "relay.origins", default: Origins.any,
    "Changes to publish: any, or local (skips changes that logical replication brought from another server).")
  static let spoolDirectory = Setting(
    "relay.spool-directory", default: "",
    "Folder for large transactions in progress beyond relay.spool-memory; empty: TMPDIR, or /tmp.")
  static let spoolMemory = Setting(
    "relay.spool-memory", default: ByteCount.mebibytes(32),
    "The most memory for all large transactions in progress together.")
  public static let connector = Setting(
    "relay.connector", default: "",
    "Properties file of a Debezium PostgreSQL connector. The relay then publishes those tables instead of Annals' outbox."
  )
  public static let destination = Setting(
    "relay.destination", default: RelayOptions.Destination.kafka,
    "Destination of messages: kafka; print (one line of JSON each, to look at them); nothing.")
  public static let port = HTTPSettings.portSetting(
    "relay.port", default: 28_081, "Port for /metrics, /healthz and /readyz of `annals relay`.")

  static let all: [SettingDescription] = [
    slot.description, publication.description, topic.description, name.description, partitions.description,
    compression.description, maximumInFlight.description, source.description, shard.description, delivery.description,
    catchUp.description, origins.description, spoolDirectory.description, spoolMemory.description,
    connector.description, destination.description, port.description,
  ]
}

enum Compression: String, CaseIterable, ArgumentValue { case none, lz4, zstd, gzip, snappy }
enum Origins: String, CaseIterable, ArgumentValue { case any, local }
enum RelaySource: String, CaseIterable, ArgumentValue { case wal, table }
extension RelayOptions.DeliveryGuarantee: ArgumentValue {}
extension RelayOptions.Destination: ArgumentValue {}

/// `part/parts`.
struct Shard {
  let part: Int
  let parts: Int

  init?(_ text: String) {
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let part = numbers[0], let parts = numbers[1], (1...1_000).contains(parts),
      (0..<parts).contains(part)
    else { return nil }
    (self.part, self.parts) = (part, parts)
  }
}
