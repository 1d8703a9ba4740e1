import Events
package import Logging
import Metrics
package import Postgres
import Reactor
import Time

/// State that the parts of one relay attempt share. It is confined to the relay's reactor.
package final class Attempt {
  package let options: RelayOptions
  let reactor: Reactor
  package let logger: Logger
  package let metrics: RelayMetrics
  /// Session that holds the lock on the relay's name. Used for everything except the WAL stream and parking.
  package let session: PostgresSession
  package let database: String
  package let delivery: Delivery
  /// Description of the table read that is in progress (snapshot or catch-up); nil: none.
  package var reading: String?

  init(
    _ options: RelayOptions, on reactor: Reactor, logger: Logger, metrics: RelayMetrics, session: PostgresSession,
    database: String, delivery: Delivery
  ) {
    (self.options, self.reactor, self.logger, self.metrics) = (options, reactor, logger, metrics)
    (self.session, self.database, self.delivery) = (session, database, delivery)
  }

  /// Runs a COPY and sends the messages that `body` encodes from its rows.
  package func copyOut(
    _ query: Query, _ body: (UnsafeRawBufferPointer, inout MessageBatch) throws -> Void
  ) async throws {
    var batch = MessageBatch()
    var failure: (any Error)?
    func send() async throws {
      if let failure { throw failure }
      let full = batch
      batch = MessageBatch()
      try await delivery.deliver(full)
      try delivery.check()
      measure()
    }
    try await session.copyOut(query, isPatient: true, pause: send) { message in
      guard failure == nil else { return }
      do { try body(message, &batch) } catch { failure = error }
    }
    try await send()
  }

  /// Runs `body` in a repeatable-read transaction of the session, without a statement timeout.
  ///
  /// - Parameter snapshot: An exported snapshot; nil: a new one.
  package func withSnapshot(_ snapshot: String? = nil, _ body: () async throws -> Void) async throws {
    let taking = snapshot.map { "; set transaction snapshot \(quotedLiteral($0))" } ?? ""
    try await session.execute(
      "begin isolation level repeatable read; set local statement_timeout = 0\(taking)", name: "taking a snapshot")
    try await body()
    try await session.execute("commit", name: "commit")
  }

  /// Runs `body` with a separate session: the attempt's may be in a transaction, or have an unfinished query.
  package func withOwnSession(_ body: (PostgresSession) async throws -> Void) async throws {
    try await PostgresSession.with(options.postgres, on: reactor, logger: logger, body)
  }

  func measure() {
    delivery.acknowledgements.measure()
    let lag = delivery.tracker.oldest.map { max(0, Timestamp.now().microseconds - $0.microseconds) } ?? 0
    metrics.lagSeconds.set(Int(lag / 1_000_000))
  }
}
