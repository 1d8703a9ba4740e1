package import Logging
package import Postgres

/// What a relay relays: our own outbox, or another application's tables. Sources read; a feed knows what is read.
package protocol Feed: Sendable {
  /// Makes what one relay keeps over all its attempts, without asking any server.
  ///
  /// - Throws: If the options contradict each other.
  func makeReader(_ options: RelayOptions, logger: Logger) throws -> any FeedReader
}

/// A feed as one relay reads it, over all its attempts. Confined to the relay's reactor.
package protocol FeedReader: AnyObject {
  /// Asks whose changes these are; nil: the cluster's and database's names say it. The first question of each attempt.
  ///
  /// - Throws: If the server is not the one whose changes may be relayed (G10).
  func identify(over session: PostgresSession) async throws -> FeedIdentity?
  /// The source of one attempt.
  func source(for attempt: Attempt) throws -> any ChangeSource
}

/// Whose changes a feed has.
package struct FeedIdentity: Sendable {
  /// Part of the name of the relay's transactions in Kafka.
  package let owner: String
  /// Positions of another epoch mean nothing.
  package let epoch: Int32
}

/// Source of changes for one attempt.
package protocol ChangeSource: AnyObject {
  /// Reads and delivers until it fails or is cancelled.
  ///
  /// - Parameter onProgress: Called whenever the source was read without an error, and told if this attempt has confirmed
  ///   anything yet.
  func run(_ onProgress: (_ hasConfirmed: Bool) -> Void) async throws
  /// Confirms the last acknowledged position at a graceful shutdown.
  func finish() async throws
  func close()
}

/// What a feed does with a slot and its stream, in one attempt. `SlotSource` calls it.
package protocol SlotFeed: AnyObject {
  /// Options of pgoutput, beside the publication's name.
  var pluginOptions: [(name: String, value: String)] { get }
  /// Interval of `beat`; nil: never.
  var heartbeat: Duration? { get }
  /// True while `examine` wants to be called every few milliseconds instead of seconds.
  var isHurried: Bool { get }

  /// Makes publication and slot if they are missing, publishes what the slot does not cover, and sets the tracker to where
  /// the stream begins.
  func prepare(_ slot: SlotPreparation) async throws
  /// Makes the publication if it is missing, for who only looks.
  func preparePublication(_ slot: ReplicationSlot) async throws
  /// Publishes what the session's snapshot sees, for who only looks.
  func publishPresent(at start: LogSequenceNumber) async throws

  /// False for tables of which nothing is sent: their rows need not be kept.
  func includes(schema: String, table: String) -> Bool
  /// True if the catalog must be asked before rows of this layout can be encoded.
  func mustLearn(_ relation: PgOutputMessage.Relation) -> Bool
  func learn(_ relation: PgOutputMessage.Relation) async throws
  /// Encodes one message. Called in the order of the stream, for begins and commits too.
  func encode(_ message: PgOutputMessage, _ context: ChangeContext, into batch: inout MessageBatch) throws
  /// Encodes a heartbeat, as a transaction of its own.
  func beat(transaction: Int, into batch: inout MessageBatch)

  /// Looks at the source, every few seconds. The stream waits meanwhile, for milliseconds.
  ///
  /// - Returns: True if the stream ends with its present transaction, and `readTable` follows.
  func examine(_ place: StreamPlace) async throws -> Bool
  /// Reads from the table what the stream would bring, and says where the stream goes on; nil: where it was.
  func readTable(_ place: StreamPlace) async throws -> LogSequenceNumber?
  /// Records what is confirmed, at a graceful shutdown.
  func finish(confirmed: LogSequenceNumber) async throws
}

/// How far a stream is.
package struct StreamPlace {
  /// End of the last transaction that was handed over completely.
  package let reached: LogSequenceNumber
  /// What may be confirmed to Postgres.
  package let confirmed: LogSequenceNumber
  /// What the server has noted as confirmed: a stream that is started again begins there.
  package let noted: LogSequenceNumber
}

/// A feed that needs none of these leaves them out.
extension SlotFeed {
  package var heartbeat: Duration? { nil }
  package var isHurried: Bool { false }
  package func includes(schema: String, table: String) -> Bool { true }
  package func mustLearn(_ relation: PgOutputMessage.Relation) -> Bool { false }
  package func learn(_ relation: PgOutputMessage.Relation) async throws {}
  package func beat(transaction: Int, into batch: inout MessageBatch) {}
  package func examine(_ place: StreamPlace) async throws -> Bool { false }
  package func readTable(_ place: StreamPlace) async throws -> LogSequenceNumber? { nil }
  package func finish(confirmed: LogSequenceNumber) async throws {}
}
