import EventStore
import Events
import Glibc
import Identifiers
import Postgres
import Schema
import Support
import Testing

@Suite("The migrated schema", .workLimit(minutes: 5)) struct SchemaDumpTests {
  /// ANNALS_UPDATE=1 writes the file instead.
  @Test("is what sql/schema.txt says")
  func dump() async throws {
    let path = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/sql/schema.txt"
    let lines = try await withDatabase { database in
      try await database.pool.query(Query("describe_schema", Schema.describeSchema)).map {
        try $0.get(0, as: String.self)
      }
    }
    if getenv("ANNALS_UPDATE") != nil {
      let file = try #require(fopen(path, "w"))
      for line in lines { fputs(line + "\n", file) }
      fclose(file)
      return
    }
    let file = try #require(fopen(path, "r"), "no sql/schema.txt")
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&bytes, 1, bytes.count, file)
    let known = Set(String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n").map(String.init))
    let missing = known.subtracting(lines).sorted()
    let new = Set(lines).subtracting(known).sorted()
    #expect(missing.isEmpty && new.isEmpty, "not there: \(missing); not in the file: \(new); see sql/README.md")
  }

  @Test("hot statements use their indexes, in a log of some size")
  func plans() async throws {
    try await withDatabase { database in
      let session = try await database.session()
      let (old, busy) = (UUID.version7(), UUID.version7())
      try await session.execute(
        """
        do $$ begin for s in 1..2000 loop
          perform annals.append_events(array[(case s % 20 when 0 then 'rare-' else 'thing-' end) || s],
            array[case s % 20 when 0 then 'rare' else 'thing' end], array[s::text], array[0], array_agg(1),
            array_agg(gen_random_uuid()), array_agg('T'::text), array_agg(1), array_agg('{}'::json), array_agg(null::text),
            array_agg(null::json), array_agg(null::json), json_build_object('actor', 'a', 'correlation_id', 'c-' || s / 10), null) from generate_series(1, 5);
          commit;
        end loop; end $$
        """)
      try await sequence(10_000, of: database)
      // Most attempts are of one webhook, and all of them are newer than those of the other.
      try await session.execute(
        """
        insert into annals.webhook_attempts (webhook, message, event, document, version, number, at, milliseconds)
        select (case when n <= 1000 then '\(old)' else '\(busy)' end)::uuid, 'm', gen_random_uuid(), '\(busy)', 1, 1, now(), 1
        from generate_series(1, 10000) n
        """)
      try await session.execute(
        "vacuum analyze annals.events, annals.log_index, annals.streams, annals.webhook_attempts")
      for (name, text, arguments, index) in [
        ("read_stream", Schema.readStream, "('thing-7', 3, 10)", "events_stream_version_key"),
        ("read_stream_back", Schema.readStreamBack, "('thing-7', 30, 10)", "events_stream_version_key"),
        ("fold_stream", Schema.foldStream, "('thing-7', 3, 10)", "events_stream_version_key"),
        ("read_log", Schema.readLog, "(5000, 10)", "log_index_pkey"),
        ("read_log_back", Schema.readLogBack, "(5000, 10)", "log_index_pkey"),
        ("read_category", Schema.readCategory, "('rare', 5000, 10)", "log_index_category"),
        // As a reader asks that has all: most of the log is of this category, which looks like any index would find it at once.
        ("read_category_end", Schema.readCategory, "('thing', 9990, 500)", "log_index_category"),
        ("read_correlation_end", Schema.readCorrelation, "('c-7', 9990, 500)", "log_index_correlation"),
        ("read_correlation", Schema.readCorrelation, "('c-7', 50, 10)", "log_index_correlation"),
        ("newest_index", Schema.newestIndex, "", "log_index_pkey"),
        ("list_attempts", Schema.listAttempts, "('\(old)', 9223372036854775807, 101)", "webhook_attempts_webhook"),
        (
          "list_attempts_of_document", Schema.listAttemptsOfDocument,
          "('\(old)', 9223372036854775807, 101, '\(busy)')", "webhook_attempts_document"
        ),
        ("stream_version", Schema.streamVersion, "('thing-7')", "streams_pkey"),
        ("streams_of_category", Schema.streamsOfCategory, "('thing', 'thing-7', 10)", "streams_pkey"),
      ] {
        try await session.execute("prepare \(name) as \(text)")
        for mode in ["force_generic_plan", "force_custom_plan"] {
          try await session.execute("set plan_cache_mode = \(mode)")
          let plan = try await session.execute("explain execute \(name)\(arguments)").compactMap { $0.first ?? nil }
          #expect(plan.contains { $0.contains(index) }, "\(name), \(mode): \(plan)")
          // The few rows of one stream may be sorted where the planner knows that they are few.
          let refused = mode == "force_generic_plan" ? ["Seq Scan", "Sort"] : ["Seq Scan"]
          #expect(!plan.contains { line in refused.contains { line.contains($0) } }, "\(name), \(mode): \(plan)")
        }
      }
      // What the sequencer asks for: the rows behind the last one, up to the horizon, by the primary key.
      let plan = try await session.execute(
        """
        explain select epoch, xid from annals.events where (epoch, xid, sequence) > (1, '5', 1)
          and (epoch, xid) < (1, pg_snapshot_xmin(pg_current_snapshot())) order by epoch, xid, sequence limit 100
        """
      ).compactMap { $0.first ?? nil }
      #expect(plan.contains { $0.contains("events_pkey") } && !plan.contains { $0.contains("Sort") }, "\(plan)")
      session.close()
    }
  }
}
