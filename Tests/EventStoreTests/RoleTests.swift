import EventStore
import Events
import Postgres
import Support
import Testing

@Suite("The roles", .workLimit(minutes: 5)) struct RoleTests {
  private static let append = """
    select annals.append_event('thing-' || gen_random_uuid(), 'thing', 0, gen_random_uuid(), 'T', 1, '{}', '{"actor":"a"}', '1',
                               'c', null, '{}', null)
    """
  /// What nobody but the owner may do.
  private static let forbidden = [
    "update annals.events set type = 'x'", "delete from annals.events", "truncate annals.events",
    "alter table annals.events disable trigger events_append_only", "drop trigger events_append_only on annals.events",
    "insert into annals.events (xid, sequence, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at) values ('1', 1, 'a-1', 1, gen_random_uuid(), 'T', 1, '{}', '{\"actor\":\"a\"}', now())",
    "insert into annals.outbox (xid, sequence, category, key, op, after, event_id, type, version, recorded_at) values ('1', 1, 'a', '1', 'c', '{}', gen_random_uuid(), 'T', 1, now())",
    "update annals.streams set version = 7",
    "insert into annals.log_index values (0, 1, '1', 1, gen_random_uuid(), 'a', null)",
    "update annals.log set epoch = 9", "select annals.adopt()", "select annals.forget_relay('x')",
    "select setval('annals.event_sequence', 1)", "select nextval('annals.event_sequence')",
    "drop table annals.outbox_0000000000000000001", "set session_replication_role = replica",
  ]

  private func check(_ role: String, allowed: [String], forbidden: [String] = []) async throws {
    try await withDatabase { database in
      let owner = try await database.session()
      let name = Stack.uniqueName("login")
      for statement in [Self.append, "select annals.sequence_events()", "create role \(name) login in role \(role)"] {
        try await owner.execute(statement)
      }
      var options = database.options
      options.url = options.url.replacing("annals@", with: "\(name)@")
      let session = try await PostgresSession.connect(options, on: database.reactor, logger: quietLogger())
      for statement in allowed {
        do { try await session.execute(statement) } catch { Issue.record("\(role): \(statement): \(error)") }
      }
      for statement in Self.forbidden + forbidden {
        do {
          try await session.execute(statement)
          Issue.record("\(role): \(statement) was allowed")
        } catch let PostgresError.server(error) {
          #expect(error.sqlState == "42501", "\(role): \(statement): \(error.message)")
        }
      }
      session.close()
      try await owner.execute("drop owned by \(name); drop role \(name)")
      owner.close()
    }
  }

  @Test("application: appends by functions and reads")
  func application() async throws {
    try await check(
      "annals_application",
      allowed: [
        Self.append, "select annals.sequence_events()", "select annals.maintain_outbox()",
        "select * from annals.events",
        "select * from annals.log_index", "update annals.streams set archived = false",
        "insert into annals.checkpoints (reader, log_id, index) select 'r', id, 0 from annals.log",
        "delete from annals.checkpoints where reader = 'r'",
        "insert into annals.snapshots (stream_id, version, folded_by, state) values ('a-1', 1, 1, '{}')",
      ])
  }

  @Test("relay: reads the outbox and keeps its own places")
  func relay() async throws {
    try await check(
      "annals_relay",
      allowed: [
        "select * from annals.outbox", "insert into annals.relays (relay, source) values ('r', 'table')",
        "select annals.check_server()", "select annals.maintain_outbox()",
      ], forbidden: [Self.append, "select * from annals.events", "select annals.sequence_events()"])
  }

  @Test("auditor: reads the log, and nothing else")
  func auditor() async throws {
    try await check(
      "annals_auditor", allowed: ["select * from annals.events", "select * from annals.log_index"],
      forbidden: [
        Self.append, "select * from annals.outbox", "select annals.sequence_events()",
        "select annals.maintain_outbox()",
      ])
  }

  @Test("a function with the owner's rights uses no operator of its caller's")
  func searchPath() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      let open = try await session.execute(
        """
        select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'annals' and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)
        """)
      #expect(open.isEmpty, "\(open)")
      // Temporary objects would be found before the catalog's where the path does not name them last.
      let name = Stack.uniqueName("login")
      try await session.execute("create role \(name) login in role annals_application")
      var options = database.options
      options.url = options.url.replacing("annals@", with: "\(name)@")
      let hostile = try await PostgresSession.connect(options, on: database.reactor, logger: quietLogger())
      try await hostile.execute(
        """
        create function pg_temp.who() returns name language plpgsql as $$ begin raise exception 'ran as %', current_user; end $$;
        create temporary view pg_database as select d.oid, pg_temp.who() as datname from pg_catalog.pg_database d;
        create temporary view pg_replication_slots as select s.*, pg_temp.who() as x from pg_catalog.pg_replication_slots s;
        grant select on pg_temp.pg_database, pg_temp.pg_replication_slots to public
        """)
      try await hostile.execute("select annals.check_server()")
      try await hostile.execute("select annals.maintain_outbox()")
      hostile.close()
      try await session.execute("drop owned by \(name); drop role \(name)")
      session.close()
    }
  }
}
