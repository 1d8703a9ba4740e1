import Postgres
import Relay
import Schema

/// The snapshot under which a table was read.
struct TableReading: Equatable {
  let snapshot: TransactionSnapshot
  /// Everything that the snapshot sees was committed before this LSN.
  let position: LogSequenceNumber

  /// The reading for the session's current snapshot.
  static func present(_ session: PostgresSession) async throws -> TableReading {
    let row = try await session.execute(
      "select pg_current_snapshot(), pg_current_wal_insert_lsn()", name: "naming the snapshot"
    ).first
    guard let row, row.count == 2, let snapshot = row[0].flatMap({ TransactionSnapshot($0) }),
      let position = row[1].flatMap({ LogSequenceNumber($0) })
    else { throw ReplicationError.outOfPlace("a snapshot that cannot be parsed") }
    return TableReading(snapshot: snapshot, position: position)
  }

  /// True if the reading already holds this change of the stream.
  func holds(_ transaction: UInt32, commit: LogSequenceNumber) -> Bool {
    commit < position && snapshot.sees(short: transaction)
  }
}

/// Tables that the initial snapshot has read and published, stored in annals.relay_snapshots.
final class SnapshotProgress {
  static let exists = Query("has_snapshot_progress", Schema.hasSnapshotProgress)
  static let readQuery = Query("read_snapshot_progress", Schema.readSnapshotProgress)
  static let recordQuery = Query("record_table_read", Schema.recordTableRead)
  static let forgetQuery = Query("forget_snapshot_progress", Schema.forgetSnapshotProgress)

  private let slot: String
  /// Keyed by the tables' OIDs.
  private(set) var readings: [UInt32: TableReading] = [:]

  private init(slot: String) { self.slot = slot }

  /// - Returns: nil if the database has no table for it: an interrupted snapshot then starts from the beginning.
  static func read(_ slot: String, _ session: PostgresSession) async throws -> SnapshotProgress? {
    guard try await session.query(exists).first?.get(0, as: Bool.self) == true else { return nil }
    let progress = SnapshotProgress(slot: slot)
    for row in try await session.query(readQuery, [.text(slot)]) {
      guard let snapshot = TransactionSnapshot(try row.get(1)) else { continue }
      progress.readings[UInt32(truncatingIfNeeded: try row.get(0, as: Int.self))] = TableReading(
        snapshot: snapshot, position: try row.get(2))
    }
    return progress
  }

  func record(_ table: UInt32, _ reading: TableReading, _ session: PostgresSession) async throws {
    try await session.query(
      Self.recordQuery,
      [.text(slot), .bigint(Int64(table)), .text(reading.snapshot.description), .lsn(reading.position)])
    readings[table] = reading
  }

  /// After this LSN the stream can no longer repeat rows of the readings.
  var end: LogSequenceNumber? { readings.values.map(\.position).max() }

  func forget(_ session: PostgresSession) async throws {
    try await session.query(Self.forgetQuery, [.text(slot)])
    readings = [:]
  }
}
