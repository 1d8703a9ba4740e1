import Logging
package import Postgres

/// Makes the slot that a stream needs: with it a snapshot that sees exactly what the slot does not cover.
package struct SlotPreparation {
  package let attempt: Attempt
  package let slot: ReplicationSlot
  private var options: RelayOptions { attempt.options }
  private var session: PostgresSession { attempt.session }
  private var delivery: Delivery { attempt.delivery }

  init(_ attempt: Attempt) {
    self.attempt = attempt
    slot = ReplicationSlot(name: attempt.options.slot, publication: attempt.options.publication)
  }

  /// True if the position committed in Kafka has reached the slot's start. A relay that ended right after that commit
  /// could no longer record in the database that the slot is ready.
  package func isPublished(_ slot: SlotState) -> Bool {
    guard let published = delivery.publishedLSN, let confirmed = slot.confirmed else { return false }
    return published >= confirmed
  }

  /// Creates the slot, or creates it anew, and runs `body` under a snapshot that sees exactly what was committed before the
  /// slot's start.
  ///
  /// - Returns: The start.
  package func withNewSlot(_ body: (LogSequenceNumber) async throws -> Void) async throws -> LogSequenceNumber {
    let replication = try await PostgresSession.connect(
      options.postgres, replication: true, on: attempt.reactor, logger: attempt.logger)
    defer { replication.close() }
    let (start, snapshot) = try await slot.create(session, over: replication)
    attempt.logger.notice("Replication slot created", metadata: ["slot": options.slot, "start": "\(start)"])
    try await attempt.withSnapshot(snapshot) { try await body(start) }
    delivery.reached = .wal(start)
    try await delivery.commit(isNeeded: true)
    return start
  }

  /// Makes a temporary slot: a copy of the relay's own, or a new one, behind what the tables hold. It ends with the returned
  /// session, and nothing that a relay relies on is moved or recorded.
  func look(_ feed: any SlotFeed) async throws -> (slot: String, session: PostgresSession) {
    let known = try await slot.state(session)
    let replication = try await PostgresSession.connect(
      options.postgres, replication: true, on: attempt.reactor, logger: attempt.logger)
    do {
      let pid = try await replication.execute("select pg_backend_pid()", name: "asking for a number").first?.first
      let name = "\(options.slot.prefix(40))_look_\((pid ?? nil) ?? "")"
      if known != nil {
        try await replication.execute(
          "select pg_copy_logical_replication_slot(\(quotedLiteral(options.slot)), \(quotedLiteral(name)), true)",
          name: "copying the slot")
        return (name, replication)
      }
      try await feed.preparePublication(slot)
      let new = ReplicationSlot(name: name, publication: options.publication)
      let (start, snapshot) = try await new.create(session, over: replication, isTemporary: true)
      try await attempt.withSnapshot(snapshot) { try await feed.publishPresent(at: start) }
      delivery.tracker = ConfirmationTracker(confirmed: start)
      return (name, replication)
    } catch {
      replication.close()
      throw error
    }
  }
}
