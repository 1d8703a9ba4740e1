import Projections
import Reactor
import CommandLine
import Configuration
import Connector
import Files
import Glibc
import Logging
public import Postgres
public import Relay

extension Context {
  /// The relay's options as the settings give them.
  public var relayOptions: RelayOptions {
    get throws {
      let connector = try connectorOptions
      var options = RelayOptions(
        postgres: postgres, kafka: kafka,
        feed: try connector.map { ConnectorFeed($0) }
          ?? OutboxFeed(topic: topicTemplate, name: settings[RelaySettings.name]),
        slot: connector?.slot ?? settings[RelaySettings.slot],
        publication: connector?.publication ?? settings[RelaySettings.publication],
        partitions: connector?.partitions ?? settings[RelaySettings.partitions],
        compression: settings[RelaySettings.compression].rawValue,
        maximumInFlight: settings[RelaySettings.maximumInFlight].bytes, version: version)
      if let connection = connector?.connection { options.postgres.url = connection }
      options.replication = connector?.replication
      options.createsTopics = connector?.createsTopics ?? true
      if settings[RelaySettings.source] == .table, let shard = Shard(settings[RelaySettings.shard]) {
        guard connector == nil else {
          throw ConfigurationError.malformed(
            RelaySettings.source.key, value: "table", place: "settings",
            expected: "possible with relay.connector: other applications' tables are read from the WAL")
        }
        options.source = .table(shard: shard.part, of: shard.parts)
      }
      options.delivery = settings[RelaySettings.delivery]
      options.destination = settings[RelaySettings.destination]
      options.catchUp = settings[RelaySettings.catchUp].bytes
      options.skipsForeignOrigins = settings[RelaySettings.origins] == .local
      options.spoolMemory = settings[RelaySettings.spoolMemory].bytes
      let directory = settings[RelaySettings.spoolDirectory]
      options.spoolDirectory = directory.isEmpty ? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" : directory
      return options
    }
  }

  /// A session with the relay's database, which a connector's file may name, for one use.
  public func withRelaySession<Value: Sendable>(
    _ body: @Sendable (PostgresSession) async throws -> Value
  ) async throws -> Value {
    try await withSession(to: try relayOptions.postgres, body)
  }

  /// The topics of the streams that this program's views read.
  var topics: [String] {
    get throws {
      let template = try topicTemplate
      return Set(try views.flatMap(\.categories)).sorted().map(template.topic)
    }
  }

  /// The names of the topics of the outbox.
  var topicTemplate: TopicTemplate {
    get throws {
      let text = settings[RelaySettings.topic]
      guard let template = TopicTemplate(text) else {
        throw ConfigurationError.malformed(
          RelaySettings.topic.key, value: text, place: "settings", expected: "a topic name with {aggregate} in it")
      }
      return template
    }
  }

  /// The connector's options if `relay.connector` names a file.
  private var connectorOptions: ConnectorOptions? {
    get throws {
      let path = settings[RelaySettings.connector]
      guard !path.isEmpty else { return nil }
      let text: String
      do { text = try File.text(path, limit: 1 << 20) } catch {
        throw ConfigurationError.file(path, line: nil, problem: "cannot be read: \(error.reason)")
      }
      do {
        let options = try ConnectorOptions(parsing: text)
        if !options.ignored.isEmpty {
          logger.info("Options without meaning here", metadata: ["options": options.ignored.joined(separator: ", ")])
        }
        return options
      } catch { throw ConfigurationError.file(path, line: nil, problem: "\(error)") }
    }
  }
}
