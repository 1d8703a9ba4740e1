import Events
import Logging
public import Postgres
import Reactor
import Schema

/// Reads the outbox from the table, for a relay without the REPLICATION privilege. Starts at a checkpoint in the
/// database and reads batches of rows whose transactions are older than every running one.
final class OutboxTable {
  private let relay: String
  private let shard: Int
  private let shards: Int
  private let epoch: Int32
  private let session: PostgresSession
  private(set) var checkpoint = Position.start
  /// All rows of transactions below this id are acknowledged.
  private(set) var complete = TransactionID(0)

  static let start = Query("start_checkpoint", Schema.startCheckpoint)
  static let present = Query("present_checkpoint", Schema.presentCheckpoint)
  static let record = Query("record_checkpoint", Schema.recordCheckpoint)
  static let least = Query("least_checkpoint", Schema.leastCheckpoint)
  static let forget = Query("forget_checkpoints", Schema.forgetCheckpoints)

  /// Maximum number of rows of one read.
  static let batch = 10_000

  init(relay: String, shard: Int, of shards: Int, epoch: Int32, _ session: PostgresSession) {
    (self.relay, self.shard, self.shards, self.epoch, self.session) = (relay, shard, shards, epoch, session)
  }

  /// The lowest checkpoint of a relay's shards; nil if the relay never read the table.
  static func least(_ relay: String, _ session: PostgresSession) async throws -> Position? {
    guard let row = try await session.query(least, [.text(relay)]).first else { return nil }
    return Position(
      epoch: Int32(try row.get(0, as: Int.self)), transaction: try row.get(1, as: TransactionID.self).value,
      sequence: try row.get(2))
  }

  static func forget(_ relay: String, _ session: PostgresSession) async throws {
    try await session.query(forget, [.text(relay)])
  }

  /// Loads or creates the checkpoint. From then on, partitions are kept until this relay has read them.
  ///
  /// - Parameter first: A new checkpoint begins at this transaction.
  func begin(at first: TransactionID) async throws {
    let rows = try await session.query(
      Self.start, [.text(relay), .integer(Int32(shard)), .integer(Int32(shards)), .xid8(first)])
    var hasOwn = false
    for row in rows {
      let known = try row.get(1, as: Int.self)
      guard known == shards else { throw ReplicationError.shardsChanged(relay: relay, from: known, to: shards) }
      guard try row.get(0, as: Int.self) == shard else { continue }
      hasOwn = true
      checkpoint = Position(
        epoch: Int32(try row.get(2, as: Int.self)), transaction: try row.get(3, as: TransactionID.self).value,
        sequence: try row.get(4))
      complete = try row.get(5)
    }
    guard hasOwn else { throw ReplicationError.outOfPlace("the shard has no checkpoint") }
  }

  /// Loads the checkpoint if there is one, and registers nothing.
  func look() async throws {
    for row in try await session.query(Self.present, [.text(relay), .integer(Int32(shard))]) {
      checkpoint = Position(
        epoch: Int32(try row.get(0, as: Int.self)), transaction: try row.get(1, as: TransactionID.self).value,
        sequence: try row.get(2))
    }
  }

  struct Reading {
    var count = 0
    /// Position of the last row.
    var end = Position.start
    /// Transactions below this id have ended. All of their rows have been read if `count` is below the maximum.
    let horizon: TransactionID
  }

  /// Reads the final rows after a position, under one snapshot.
  ///
  /// - Parameters:
  ///   - pause: Called after each megabyte or so.
  ///   - row: Called with each row and the LSN of its snapshot.
  func read(
    after position: Position, pause: () async throws -> Void,
    _ row: (OutboxBacklog.Row, LogSequenceNumber) throws -> Void
  ) async throws -> Reading {
    let begun = try await session.execute(
      """
      begin isolation level repeatable read, read only;
      select pg_current_wal_lsn(), pg_snapshot_xmin(pg_current_snapshot())
      """, name: "taking a snapshot")
    guard let values = begun.first, values.count == 2, let lsn = values[0].flatMap({ LogSequenceNumber($0) }),
      let horizon = values[1].flatMap({ UInt64($0) })
    else { throw ReplicationError.outOfPlace("a snapshot without an LSN") }
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
        reading.end = found.position
      } catch { failure = error }
    }
    if let failure { throw failure }
    try await session.execute("commit", name: "commit")
    return reading
  }

  /// Records the acknowledged position as the checkpoint.
  func record(_ position: Position, complete: TransactionID, over session: PostgresSession) async throws {
    let recorded = try await session.query(
      Self.record,
      [
        .text(relay), .integer(Int32(shard)), .integer(position.epoch), .xid8(TransactionID(position.transaction)),
        .bigint(position.sequence),
        .xid8(complete), .integer(epoch),
      ])
    guard !recorded.isEmpty else { throw ReplicationError.displaced(relay: relay) }
    (checkpoint, self.complete) = (position, complete)
  }
}

/// Progress of one shard of a relay that reads the table.
public struct TableProgress: Sendable {
  public let shard: Int
  public let shards: Int
  public let position: String
  /// Number of rows after the checkpoint, counted up to 100,000.
  public let waiting: Int
  /// Time since the checkpoint was last recorded, or loaded by a starting relay, in seconds.
  public let age: Int

  static let query = Query("table_backlog", Schema.tableBacklog)

  /// All shards of a relay; empty if it reads the WAL.
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
