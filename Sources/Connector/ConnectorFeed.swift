package import Logging
import Postgres
package import Relay

/// Any tables as a feed, relayed as by a Debezium connector with these options.
package struct ConnectorFeed: Feed {
  private let options: ConnectorOptions

  package init(_ options: ConnectorOptions) { self.options = options }

  package func makeReader(_ options: RelayOptions, logger: Logger) throws -> any FeedReader {
    guard options.source == .wal else {
      throw ReplicationError.outOfPlace("relay.source=table for tables that can be read only from the WAL")
    }
    // Patterns and transforms are read now, not at the first attempt.
    _ = try ConnectorEncoder(self.options, version: options.version, logger: logger)
    return Reader(options: self.options)
  }

  private final class Reader: FeedReader {
    private let options: ConnectorOptions

    init(options: ConnectorOptions) { self.options = options }

    func identify(over session: PostgresSession) -> FeedIdentity? { nil }

    func source(for attempt: Attempt) throws -> any ChangeSource {
      let encoder = try ConnectorEncoder(options, version: attempt.options.version, logger: attempt.logger)
      return SlotSource(attempt, ConnectorStream(attempt, options, encoder))
    }
  }
}
