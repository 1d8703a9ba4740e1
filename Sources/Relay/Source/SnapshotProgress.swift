import Postgres
import Schema

/// What the reading of a table has seen.
struct TableReading: Equatable {
  let snapshot: Snapshot
  /// All that it has seen was committed before this.
  let position: LogSequenceNumber

  /// Of the session's snapshot.
  static func present(_ session: PostgresSession) async throws -> TableReading {
    let row = try await session.execute(
      "select pg_current_snapshot(), pg_current_wal_insert_lsn()", name: "naming the snapshot"
    ).first
    guard let row, row.count == 2, let snapshot = row[0].flatMap({ Snapshot($0) }),
      let position = row[1].flatMap({ LogSequenceNumber($0) })
    else { throw ReplicationError.outOfPlace("a snapshot that cannot be read") }
    return TableReading(snapshot: snapshot, position: position)
  }

  /// Whether a change of the stream is in what was read.
  func holds(_ transaction: UInt32, commit: LogSequenceNumber) -> Bool {
    commit < position && snapshot.sees(short: transaction)
  }
}

/// Which tables have been read and sent while the slot is new, kept in annals.relay_snapshots.
final class SnapshotProgress {
  static let exists = Query("has_snapshot_progress", Schema.hasSnapshotProgress)
  static let readQuery = Query("read_snapshot_progress", Schema.readSnapshotProgress)
  static let recordQuery = Query("record_table_read", Schema.recordTableRead)
  static let forgetQuery = Query("forget_snapshot_progress", Schema.forgetSnapshotProgress)

  private let slot: String
  /// By the tables' numbers.
  private(set) var readings: [UInt32: TableReading] = [:]

  private init(slot: String) { self.slot = slot }

  /// - Returns: nil where the database has no place for it: a snapshot that is interrupted then begins anew.
  static func read(_ slot: String, _ session: PostgresSession) async throws -> SnapshotProgress? {
    guard try await session.query(exists).first?.get(0, as: Bool.self) == true else { return nil }
    let progress = SnapshotProgress(slot: slot)
    for row in try await session.query(readQuery, [.text(slot)]) {
      guard let snapshot = Snapshot(try row.get(1)) else { continue }
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

  /// Behind this position the readings mean nothing any more.
  var end: LogSequenceNumber? { readings.values.map(\.position).max() }

  func forget(_ session: PostgresSession) async throws {
    try await session.query(Self.forgetQuery, [.text(slot)])
    readings = [:]
  }
}
