import Logging
public import Postgres
import Reactor
import Schema

/// The outbox read from the table, for a relay without the right to replicate: in batches, below every transaction that
/// still runs, from a checkpoint in the database.
final class OutboxTable {
  private let relay: String
  private let shard: Int
  private let shards: Int
  private let session: PostgresSession
  private(set) var checkpoint = OutboxPosition()
  /// Everything of transactions below this one has been acknowledged.
  private(set) var complete = TransactionID(0)

  static let claim = Query("claim_relay", Schema.claimRelay)
  static let join = Query("join_relay", Schema.joinRelay)
  static let start = Query("start_checkpoint", Schema.startCheckpoint)
  static let record = Query("record_checkpoint", Schema.recordCheckpoint)
  static let least = Query("least_checkpoint", Schema.leastCheckpoint)
  static let forget = Query("forget_checkpoints", Schema.forgetCheckpoints)

  /// How many rows one reading takes.
  static let batch = 10_000

  init(relay: String, shard: Int, of shards: Int, _ session: PostgresSession) {
    (self.relay, self.shard, self.shards, self.session) = (relay, shard, shards, session)
  }

  /// Takes the relay's name for this session; false while another has it.
  static func claim(_ name: String, _ session: PostgresSession) async throws -> Bool {
    try await session.query(claim, [.text(name)]).first?.get(0) ?? false
  }

  /// Takes one part of the relay's name: the other parts are for others, the whole is for nobody meanwhile.
  static func claim(_ name: String, shard: Int, _ session: PostgresSession) async throws -> Bool {
    guard try await session.query(join, [.text(name)]).first?.get(0, as: Bool.self) == true else { return false }
    return try await claim("\(name)/\(shard)", session)
  }

  /// How far all parts of a relay have come by the table; nil where it never read it.
  static func least(_ relay: String, _ session: PostgresSession) async throws -> OutboxPosition? {
    guard let row = try await session.query(least, [.text(relay)]).first else { return nil }
    return OutboxPosition(transaction: try row.get(0, as: TransactionID.self).value, sequence: try row.get(1))
  }

  static func forget(_ relay: String, _ session: PostgresSession) async throws {
    try await session.query(forget, [.text(relay)])
  }

  /// Finds the checkpoint, or makes one; from then on partitions wait for this relay, and writers wake it.
  ///
  /// - Parameter first: A new checkpoint begins at this transaction.
  func begin(at first: TransactionID, logger: Logger) async throws {
    let rows = try await session.query(
      Self.start, [.text(relay), .integer(Int32(shard)), .integer(Int32(shards)), .xid8(first)])
    var hasOwn = false
    for row in rows {
      let known = try row.get(1, as: Int.self)
      guard known == shards else { throw ReplicationError.shardsChanged(relay: relay, from: known, to: shards) }
      guard try row.get(0, as: Int.self) == shard else { continue }
      hasOwn = true
      checkpoint = OutboxPosition(transaction: try row.get(2, as: TransactionID.self).value, sequence: try row.get(3))
      complete = try row.get(4)
    }
    guard hasOwn else { throw ReplicationError.outOfPlace("no checkpoint") }
    do {
      try await session.execute("select annals.wake_by_notification(true)")
    } catch {
      logger.warning("Writers do not wake this relay; it looks by the clock", metadata: [.error: "\(error)"])
    }
  }

  struct Reading {
    var count = 0
    /// The last row's.
    var end = OutboxPosition()
    /// Transactions below this one are over, and all of their rows have been read if the reading was not full.
    let horizon: TransactionID
  }

  /// Reads what is final behind a position, under one snapshot.
  ///
  /// - Parameters:
  ///   - pause: Called after each megabyte or so.
  ///   - row: Gets each row with the LSN of the snapshot that it was read under.
  func read(
    after position: OutboxPosition, pause: () async throws -> Void,
    _ row: (OutboxBacklog.Row, LogSequenceNumber) throws -> Void
  ) async throws -> Reading {
    let begun = try await session.execute(
      """
      begin isolation level repeatable read, read only;
      select pg_current_wal_lsn(), pg_snapshot_xmin(pg_current_snapshot())
      """, name: "taking a snapshot")
    guard let values = begun.first, values.count == 2, let lsn = values[0].flatMap({ LogSequenceNumber($0) }),
      let horizon = values[1].flatMap({ UInt64($0) })
    else { throw ReplicationError.outOfPlace("a snapshot without a place") }
    var reading = Reading(end: position, horizon: TransactionID(horizon))
    var backlog = OutboxBacklog()
    var failure: (any Error)?
    try await session.copyOut(
      OutboxBacklog.finalRows(after: position, shard: shard, of: shards, limit: Self.batch), pause: pause
    ) { message in
      guard failure == nil else { return }
      do {
        guard let found = try backlog.row(message) else { return }
        try row(found, lsn)
        reading.count += 1
        reading.end = OutboxPosition(transaction: found.transaction, sequence: found.sequence)
      } catch { failure = error }
    }
    if let failure { throw failure }
    try await session.execute("commit", name: "commit")
    return reading
  }

  /// Records how far everything has been acknowledged.
  func record(_ position: OutboxPosition, complete: TransactionID, over session: PostgresSession) async throws {
    try await session.query(
      Self.record,
      [
        .text(relay), .integer(Int32(shard)), .xid8(TransactionID(position.transaction)), .bigint(position.sequence),
        .xid8(complete),
      ])
    (checkpoint, self.complete) = (position, complete)
  }
}

/// How far one part of a relay has come that reads the table.
public struct TableProgress: Sendable {
  public let shard: Int
  public let shards: Int
  public let position: String
  /// Rows behind the checkpoint, counted up to 100,000.
  public let waiting: Int
  /// Since the checkpoint was moved or looked at last, in seconds.
  public let age: Int

  static let query = Query("table_backlog", Schema.tableBacklog)

  /// All parts of a relay; none where it reads the WAL.
  public static func read(_ relay: String, _ session: PostgresSession) async throws -> [TableProgress] {
    var parts: [TableProgress] = []
    for row in try await session.query(query, [.text(relay)]) {
      parts.append(
        TableProgress(
          shard: try row.get(0), shards: try row.get(1), position: try row.get(2), waiting: try row.get(3),
          age: try row.get(4)))
    }
    return parts
  }
}
