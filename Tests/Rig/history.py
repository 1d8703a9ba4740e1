"""A log with many documents, written by SQL: their events, as the program would have appended them."""


def fill(database, first, documents):
    """Writes documents from number `first` on, as their events have made them."""
    database.sql(f"""
      create temporary table d as select n, (lpad(to_hex(1764000000000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
          || substr(md5(n::text), 5, 15))::uuid as id from generate_series({first}, {first + documents - 1}) n;
      insert into annals.streams (stream_id, category, version, xid, recorded_at)
        select 'document-' || id, 'document', 4, pg_current_xact_id(), now() from d;
      insert into annals.events (stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
        select 'document-' || id, v, gen_random_uuid(),
          case v when 1 then 'DocumentCreated' when 2 then 'DocumentRetitled' else 'DocumentStatusChanged' end, 1,
          case v when 1 then json_build_object('id', id, 'title', 'Title of ' || n, 'created_by', 'user-' || n % 1000, 'at', '2026-11-21T13:20:38.123456Z')
                 when 2 then json_build_object('title', 'Title of ' || n || ' after a change', 'at', '2026-11-21T13:30:38.123456Z')
                 when 3 then json_build_object('from', 'created', 'to', 'pending', 'at', '2026-11-21T13:40:38.123456Z')
                 else json_build_object('from', 'pending', 'to', 'signed', 'at', '2026-11-21T14:20:38.123456Z') end,
          '{{"actor":"bench"}}', now()
        from d cross join generate_series(1, 4) v order by v, n""")
