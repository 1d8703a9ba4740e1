import Crypto

/// The database schema and every statement on it, embedded in the binary.
public enum Schema {
  /// Numbered steps, in order. A released step is never edited: its checksum is recorded where it was applied.
  public static let migrations: [Migration] = [
    Migration(version: 1, name: "event_log", PackageResources.v0001_event_log_sql),
    Migration(version: 2, name: "outbox", PackageResources.v0002_outbox_sql),
    Migration(version: 3, name: "append", PackageResources.v0003_append_sql),
    Migration(version: 4, name: "parking", PackageResources.v0004_parking_sql),
    Migration(version: 5, name: "table_source", PackageResources.v0005_table_source_sql),
    Migration(version: 6, name: "watermark", PackageResources.v0006_watermark_sql),
    Migration(version: 7, name: "snapshot_progress", PackageResources.v0007_snapshot_progress_sql),
    Migration(version: 8, name: "ready_slots", PackageResources.v0008_ready_slots_sql),
  ]

  public static let migrationTable = text(PackageResources.migration_table_sql)
  public static let appliedMigrations = text(PackageResources.applied_migrations_sql)
  public static let recordMigration = text(PackageResources.record_migration_sql)

  public static let append = text(PackageResources.append_sql)
  public static let readStream = text(PackageResources.read_stream_sql)
  public static let foldStream = text(PackageResources.fold_stream_sql)
  public static let readLog = text(PackageResources.read_log_sql)
  public static let streamVersion = text(PackageResources.stream_version_sql)
  public static let streamsOfCategory = text(PackageResources.streams_of_category_sql)
  public static let oldestTransaction = text(PackageResources.oldest_transaction_sql)
  public static let maintainOutbox = text(PackageResources.maintain_outbox_sql)

  public static let relaySlotReady = text(PackageResources.relay_slot_ready_sql)
  public static let recordRelaySlot = text(PackageResources.record_relay_slot_sql)
  public static let unreadyRelaySlot = text(PackageResources.unready_relay_slot_sql)
  public static let recordWatermark = text(PackageResources.record_watermark_sql)
  public static let readWatermark = text(PackageResources.read_watermark_sql)
  public static let sourcePosition = text(PackageResources.source_position_sql)
  public static let hasSnapshotProgress = text(PackageResources.has_snapshot_progress_sql)
  public static let readSnapshotProgress = text(PackageResources.read_snapshot_progress_sql)
  public static let recordTableRead = text(PackageResources.record_table_read_sql)
  public static let forgetSnapshotProgress = text(PackageResources.forget_snapshot_progress_sql)
  public static let slotState = text(PackageResources.slot_state_sql)
  public static let publicationExists = text(PackageResources.publication_exists_sql)
  public static let tableColumns = text(PackageResources.table_columns_sql)
  public static let publishedTables = text(PackageResources.published_tables_sql)
  public static let userTables = text(PackageResources.user_tables_sql)
  public static let hasParking = text(PackageResources.has_parking_sql)
  public static let parkMessage = text(PackageResources.park_message_sql)
  public static let parkedKeys = text(PackageResources.parked_keys_sql)
  public static let parkedOfKey = text(PackageResources.parked_of_key_sql)
  public static let settleParked = text(PackageResources.settle_parked_sql)
  public static let refuseParked = text(PackageResources.refuse_parked_sql)
  public static let listParked = text(PackageResources.list_parked_sql)
  public static let showParked = text(PackageResources.show_parked_sql)
  public static let requestParked = text(PackageResources.request_parked_sql)
  public static let claimRelay = text(PackageResources.claim_relay_sql)
  public static let joinRelay = text(PackageResources.join_relay_sql)
  public static let tableBacklog = text(PackageResources.table_backlog_sql)
  public static let startCheckpoint = text(PackageResources.start_checkpoint_sql)
  public static let recordCheckpoint = text(PackageResources.record_checkpoint_sql)
  public static let leastCheckpoint = text(PackageResources.least_checkpoint_sql)
  public static let forgetCheckpoints = text(PackageResources.forget_checkpoints_sql)
  public static let serverSettings = text(PackageResources.server_settings_sql)

  static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// One numbered step of the schema.
public struct Migration: Sendable {
  public let version: Int
  public let name: String
  public let sql: String

  /// SHA-256 of the text, in hexadecimal. It shows if an applied step had the same text.
  public var checksum: String { SHA256.hash(Array(sql.utf8)).hexadecimal }

  init(version: Int, name: String, _ bytes: [UInt8]) {
    (self.version, self.name, sql) = (version, name, Schema.text(bytes))
  }
}
