public import Configuration
import EventStore
import Kafka
import Lifecycle
import Projections
import Relay

/// The relay: publishes the outbox, or other applications' tables, to Kafka.
public struct Relaying: Feature {
  public let name = "relay"

  public init() {}

  public var settings: [SettingDescription] { RelaySettings.all }

  /// The relay has sessions of its own.
  public var connections: Connections { [] }

  public func workers(_ context: Context) throws -> [any Worker] {
    let options = try context.relayOptions
    let topics = OutboxTopics(
      names: options.feed is OutboxFeed && options.destination == .kafka ? try context.topics : [],
      kafka: options.kafka, partitions: options.partitions, replication: options.replication,
      reactor: context.reactor, logger: context.logger)
    return [
      RelayWorker(
        relay: try Relay(
          options, on: context.reactor, logger: context.logger, metrics: context.metrics, tracer: context.tracer),
        topics: topics)
    ]
  }

  public func checks(_ context: Context) throws -> [Check] {
    let slot = context.settings[RelaySettings.slot]
    let topics = try context.topics
    return [
      Check("Logical decoding") {
        let state = try await context.withRelaySession { try await ServerState.read($0) }
        guard state.walLevel == "logical" else {
          throw CheckProblem(
            "wal_level is \(state.walLevel): set wal_level = logical in postgresql.conf and restart Postgres")
        }
        guard state.replicationSlots > 0, state.walSenders > 0 else {
          throw CheckProblem("max_replication_slots or max_wal_senders is 0: raise both and restart Postgres")
        }
        return "wal_level logical, \(state.replicationSlots) slots, \(state.walSenders) senders"
      },
      Check("Replication right") {
        guard try await context.withRelaySession({ try await ServerState.read($0) }).mayReplicate else {
          throw CheckProblem("missing: alter role … replication, or use relay.source=table")
        }
        return "present"
      },
      Check("Slot \(slot)") {
        guard let state = try await context.withSession({ try await SlotState.read(slot, $0) }) else {
          return "does not exist yet; the relay creates it"
        }
        let text = "\(state.lag) bytes behind, \(state.retained) bytes of WAL kept (\(state.walStatus))"
        guard state.walStatus != "lost" else {
          throw CheckProblem("\(text): drop the slot; the relay then creates a new one and publishes what is missing")
        }
        guard state.isActive else { throw CheckProblem("\(text), but no relay is connected: start annals relay") }
        return text
      },
      Check("Kafka") {
        let cluster = try await KafkaAdmin(context.kafka, timeout: .seconds(5)).describe()
        let states = topics.map { topic in
          "topic \(topic): "
            + (cluster.topics[topic].map { "\($0) partitions" } ?? "does not exist yet; the relay creates it")
        }
        return "brokers \(cluster.brokers.joined(separator: ", ")); \(states.joined(separator: "; "))"
      },
    ]
  }
}

private struct RelayWorker: Worker {
  let name = "relay"
  let relay: Relay
  let topics: OutboxTopics

  var problem: String? { get async { await relay.problem } }

  func run(until stop: StopSignal) async throws {
    try await stop.cancels {
      async let making: Void = topics.make()
      await relay.run()
      await making
    }
  }
}
