import Crypto

/// The database schema and every statement on it, embedded in the binary.
public enum Schema {
  /// Numbered steps, in order. A released step is never edited: its checksum is recorded where it was applied.
  public static let migrations: [Migration] = [Migration(version: 1, name: "start", tables)]

  /// The starting schema, in the order in which its objects need each other.
  private static let tables = [
    PackageResources.event_sequence_sql, PackageResources.log_sql, PackageResources.streams_sql,
    PackageResources.events_sql, PackageResources.outbox_sql, PackageResources.outbox_partitions_sql,
    PackageResources.relays_sql, PackageResources.relay_checkpoints_sql, PackageResources.relay_snapshots_sql,
    PackageResources.parked_messages_sql, PackageResources.log_index_sql, PackageResources.checkpoints_sql,
    PackageResources.commands_sql, PackageResources.snapshots_sql, PackageResources.view_generations_sql,
    PackageResources.parked_changes_sql, PackageResources.document_views_sql, PackageResources.due_times_sql,
    PackageResources.webhook_queues_sql, PackageResources.webhook_attempts_sql,
    PackageResources.webhook_replays_sql,
    PackageResources.spans_sql,
    PackageResources.publication_sql,
    PackageResources.first_partitions_sql,
  ]

  /// Applied before the steps, whose triggers need them, and again whenever a text changes. A release that changes one raises
  /// its revision: older programs then leave it alone and go on to work with it.
  public static let functions: [Definition] = [
    Definition("refuse_change", 1, PackageResources.refuse_change_sql),
    Definition("check_server", 1, PackageResources.check_server_sql),
    Definition("refuse_event", 1, PackageResources.refuse_event_sql),
    Definition("append_event", 1, PackageResources.append_event_sql),
    Definition("append_events", 1, PackageResources.append_events_sql),
    Definition("sequence_events", 1, PackageResources.sequence_events_sql),
    Definition("add_outbox_partitions", 1, PackageResources.add_outbox_partitions_sql),
    Definition("maintain_outbox", 1, PackageResources.maintain_outbox_sql),
    Definition("adopt", 1, PackageResources.adopt_sql),
    Definition("forget_relay", 1, PackageResources.forget_relay_sql),
    Definition("note_parked", 1, PackageResources.note_parked_sql),
  ]

  /// Applied after the steps and the functions, and again whenever a text changes.
  public static let roles: [Definition] = [
    Definition("role public", 1, PackageResources.public_sql),
    Definition("role application", 1, PackageResources.application_sql),
    Definition("role relay", 1, PackageResources.relay_sql),
    Definition("role auditor", 1, PackageResources.auditor_sql),
    Definition("role maintenance", 1, PackageResources.maintenance_sql),
  ]

  public static let migrationTable = text(PackageResources.migration_table_sql)
  public static let appliedMigrations = text(PackageResources.applied_migrations_sql)
  public static let recordMigration = text(PackageResources.record_migration_sql)
  public static let appliedDefinitions = text(PackageResources.applied_definitions_sql)
  public static let recordDefinition = text(PackageResources.record_definition_sql)

  public static let append = text(PackageResources.append_sql)
  public static let appendMany = text(PackageResources.append_many_sql)
  public static let recentEvent = text(PackageResources.recent_event_sql)
  public static let findCommand = text(PackageResources.find_command_sql)
  public static let archiveStream = text(PackageResources.archive_stream_sql)
  public static let readStream = text(PackageResources.read_stream_sql)
  public static let readStreamBack = text(PackageResources.read_stream_back_sql)
  public static let foldStream = text(PackageResources.fold_stream_sql)
  public static let readLog = text(PackageResources.read_log_sql)
  public static let readLogBack = text(PackageResources.read_log_back_sql)
  public static let readCategory = text(PackageResources.read_category_sql)
  public static let readCorrelation = text(PackageResources.read_correlation_sql)
  public static let logBounds = text(PackageResources.log_bounds_sql)
  public static let noteDue = text(PackageResources.note_due_sql)
  public static let dueNow = text(PackageResources.due_now_sql)
  public static let forgetDue = text(PackageResources.forget_due_sql)
  public static let settleDue = text(PackageResources.settle_due_sql)
  public static let noteWebhooks = text(PackageResources.note_webhooks_sql)
  public static let takeWebhooks = text(PackageResources.take_webhooks_sql)
  public static let settleWebhook = text(PackageResources.settle_webhook_sql)
  public static let recordAttempts = text(PackageResources.record_attempts_sql)
  public static let listAttempts = text(PackageResources.list_attempts_sql)
  public static let listAttemptsOfDocument = text(PackageResources.list_attempts_of_document_sql)
  public static let attemptsOfEvent = text(PackageResources.attempts_of_event_sql)
  public static let forgetAttempts = text(PackageResources.forget_attempts_sql)
  public static let listParkedWebhooks = text(PackageResources.list_parked_webhooks_sql)
  public static let resumeWebhook = text(PackageResources.resume_webhook_sql)
  public static let countWebhooks = text(PackageResources.count_webhooks_sql)
  public static let forgetWebhook = text(PackageResources.forget_webhook_sql)
  public static let indexOfEvent = text(PackageResources.index_of_event_sql)
  public static let keepSpans = text(PackageResources.keep_spans_sql)
  public static let spansOfTrace = text(PackageResources.spans_of_trace_sql)
  public static let forgetSpans = text(PackageResources.forget_spans_sql)
  public static let outboxPlace = text(PackageResources.outbox_place_sql)
  public static let outboxReaders = text(PackageResources.outbox_readers_sql)
  public static let beginReplay = text(PackageResources.begin_replay_sql)
  public static let webhookReplay = text(PackageResources.webhook_replay_sql)
  public static let advanceReplay = text(PackageResources.advance_replay_sql)
  public static let saveViews = text(PackageResources.save_views_sql)
  public static let savedViews = text(PackageResources.saved_views_sql)
  public static let viewsByDay = text(PackageResources.views_by_day_sql)
  public static let mostViewed = text(PackageResources.most_viewed_sql)
  public static let newestIndex = text(PackageResources.newest_index_sql)
  public static let logIdentity = text(PackageResources.log_identity_sql)
  public static let adoptServer = text(PackageResources.adopt_server_sql)
  public static let sequence = text(PackageResources.sequence_sql)
  public static let eventAtIndex = text(PackageResources.event_at_index_sql)
  public static let readCheckpoint = text(PackageResources.read_checkpoint_sql)
  public static let recordCheckpointOfReader = text(PackageResources.record_checkpoint_of_reader_sql)
  public static let readSnapshot = text(PackageResources.read_snapshot_sql)
  public static let takeSnapshot = text(PackageResources.take_snapshot_sql)
  public static let streamVersion = text(PackageResources.stream_version_sql)
  public static let streamsOfCategory = text(PackageResources.streams_of_category_sql)
  public static let listGenerations = text(PackageResources.list_generations_sql)
  public static let beginGeneration = text(PackageResources.begin_generation_sql)
  public static let recordGeneration = text(PackageResources.record_generation_sql)
  public static let noteGenerationEntries = text(PackageResources.note_generation_entries_sql)
  public static let addGenerationOffsets = text(PackageResources.add_generation_offsets_sql)
  public static let activateGeneration = text(PackageResources.activate_generation_sql)
  public static let voidGeneration = text(PackageResources.void_generation_sql)
  public static let dropGeneration = text(PackageResources.drop_generation_sql)
  public static let claimReader = text(PackageResources.claim_reader_sql)
  public static let leaveReader = text(PackageResources.leave_reader_sql)
  public static let forgetReader = text(PackageResources.forget_reader_sql)
  public static let claimRebuild = text(PackageResources.claim_rebuild_sql)
  public static let streamTips = text(PackageResources.stream_tips_sql)
  public static let countStreams = text(PackageResources.count_streams_sql)
  public static let sampleStreams = text(PackageResources.sample_streams_sql)
  public static let nextStreams = text(PackageResources.next_streams_sql)
  public static let parkChange = text(PackageResources.park_change_sql)
  public static let settledStreams = text(PackageResources.settled_streams_sql)
  public static let parkedStreams = text(PackageResources.parked_streams_sql)
  public static let listParkedChanges = text(PackageResources.list_parked_changes_sql)
  public static let showParkedChange = text(PackageResources.show_parked_change_sql)
  public static let requestParkedChange = text(PackageResources.request_parked_change_sql)
  public static let settleParkedChange = text(PackageResources.settle_parked_change_sql)
  public static let noHandOver = text(PackageResources.no_hand_over_sql)
  public static let handOver = text(PackageResources.hand_over_sql)
  public static let setGenerationOffsets = text(PackageResources.set_generation_offsets_sql)
  public static let transactionNumber = text(PackageResources.transaction_number_sql)
  public static let allEndedBefore = text(PackageResources.all_ended_before_sql)
  public static let holdChange = text(PackageResources.hold_change_sql)
  public static let followGeneration = text(PackageResources.follow_generation_sql)
  public static let endGeneration = text(PackageResources.end_generation_sql)
  public static let announceViews = text(PackageResources.announce_views_sql)
  public static let oldestTransaction = text(PackageResources.oldest_transaction_sql)
  public static let seesOthersQueries = text(PackageResources.sees_others_queries_sql)
  public static let outboxUpkeep = text(PackageResources.outbox_upkeep_sql)
  public static let retireRelay = text(PackageResources.retire_relay_sql)

  public static let hasRegistry = text(PackageResources.has_registry_sql)
  public static let registerSlot = text(PackageResources.register_slot_sql)
  public static let slotRegistered = text(PackageResources.slot_registered_sql)
  public static let outboxRanges = text(PackageResources.outbox_ranges_sql)
  public static let relayHolder = text(PackageResources.relay_holder_sql)
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
  public static let lockParked = text(PackageResources.lock_parked_sql)
  public static let unlockParked = text(PackageResources.unlock_parked_sql)
  public static let retryParked = text(PackageResources.retry_parked_sql)
  public static let requestParked = text(PackageResources.request_parked_sql)
  public static let claimRelay = text(PackageResources.claim_relay_sql)
  public static let joinRelay = text(PackageResources.join_relay_sql)
  public static let tableBacklog = text(PackageResources.table_backlog_sql)
  public static let startCheckpoint = text(PackageResources.start_checkpoint_sql)
  public static let recordCheckpoint = text(PackageResources.record_checkpoint_sql)
  public static let presentCheckpoint = text(PackageResources.present_checkpoint_sql)
  public static let leastCheckpoint = text(PackageResources.least_checkpoint_sql)
  public static let forgetCheckpoints = text(PackageResources.forget_checkpoints_sql)
  public static let describeSchema = text(PackageResources.describe_schema_sql)
  public static let serverSettings = text(PackageResources.server_settings_sql)

  static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// One numbered step of the schema.
public struct Migration: Sendable {
  public let version: Int
  public let name: String
  public let sql: String
  /// False: the statements run one by one outside of a transaction, and bear being repeated.
  public let isTransactional: Bool

  /// SHA-256 of the text, in hexadecimal. It shows if an applied step had the same text.
  public var checksum: String { SHA256.hash(Array(sql.utf8)).hexadecimal }

  init(version: Int, name: String, _ files: [[UInt8]]) {
    self.init(version: version, name: name, sql: files.map(Schema.text).joined(separator: "\n"))
  }

  public init(version: Int, name: String, sql: String) {
    (self.version, self.name, self.sql) = (version, name, sql)
    isTransactional = !sql.hasPrefix("-- without a transaction\n")
  }
}

/// A text that may be applied again and again: a function, or the rights of a role.
public struct Definition: Sendable {
  public let name: String
  /// Counts up from 1. What has a higher one in the database is of a newer program.
  public let revision: Int
  public let sql: String
  public var checksum: String { SHA256.hash(Array(sql.utf8)).hexadecimal }

  public init(name: String, revision: Int = 1, sql: String) {
    (self.name, self.revision, self.sql) = (name, revision, sql)
  }

  init(_ name: String, _ revision: Int, _ bytes: [UInt8]) {
    self.init(name: name, revision: revision, sql: Schema.text(bytes))
  }
}
