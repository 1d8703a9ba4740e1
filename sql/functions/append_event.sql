-- Appends one event to a stream, and its outbox row, in one call.
--
-- `expected` is the version that the stream must have: null for any, 0 for a stream that does not exist. An event whose op is
-- null has no outbox row. `outcome`: appended; conflict or archived, with the stream's version, and nothing is written.
--
-- A new stream is not looked for: its tip is inserted, or is there already. Otherwise the order of the steps keeps storage
-- order and stream order the same (G2): whoever wrote the version that was seen has committed before the look, and this
-- transaction's id is drawn after it. It comes before the sequence too: annals.maintain_outbox relies on that.
create or replace function annals.append_event(
  stream_id text, category text, expected bigint, event_id uuid, type text, schema_version integer, data json,
  metadata json, key text, op "char", before json, after json, headers json,
  out outcome text, out version bigint, out recorded_at timestamptz
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  tip   annals.streams;
  moved integer;
  drawn bigint;
  own   xid8;
  place integer;
begin
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'an append must be the first write of its transaction' using errcode = 'AN003',
      hint = 'Append first, then write to other tables.';
  end if;
  if current_setting('annals.server', true) is distinct from 'known' then perform annals.check_server(); end if;
  if strpos(category, '-') <> 0 or not starts_with(append_event.stream_id, append_event.category || '-') or category = ''
     or octet_length(append_event.stream_id) not between octet_length(append_event.category) + 2 and 500 or schema_version < 1
     or json_typeof(data) <> 'object' or (metadata ->> 'actor') is null
     or op is not null and (op not in ('c', 'u', 'd') or (op = 'c') <> (before is null) or (op = 'd') <> (after is null)) then
    perform annals.refuse_event(append_event.stream_id, append_event.category, append_event.schema_version, append_event.data,
                                append_event.metadata, append_event.op, append_event.before, append_event.after);
  end if;
  -- Writers that take any version queue here. An advisory lock draws no transaction id.
  if expected is null then perform pg_advisory_xact_lock(hashtextextended(append_event.stream_id, 0)); end if;
  append_event.version := 0;
  if expected is distinct from 0 then
    select * into tip from annals.streams s where s.stream_id = append_event.stream_id;
    append_event.version := coalesce(tip.version, 0);
    -- The same call, sent again after its connection broke, may have been faster.
    if expected is null and append_event.version > 0 then
      select e.version, e.recorded_at, 'appended' into append_event.version, append_event.recorded_at, outcome
        from annals.events e
       where e.stream_id = append_event.stream_id and e.version > tip.version - 100 and e.event_id = append_event.event_id;
      if found then return; end if;
      append_event.version := tip.version;
    end if;
    outcome := case when expected <> append_event.version then 'conflict' when tip.archived then 'archived' end;
    if outcome is not null then return; end if;
  end if;
  own := pg_current_xact_id();
  -- Time never runs backwards inside a stream, whatever the machine's clock does.
  append_event.recorded_at := greatest(clock_timestamp(), tip.recorded_at);
  if append_event.version = 0 then
    insert into annals.streams (stream_id, category, version, xid, recorded_at)
    values (append_event.stream_id, append_event.category, 1, own, append_event.recorded_at) on conflict do nothing;
  else
    update annals.streams s
       set version = append_event.version + 1, epoch = default, xid = own, recorded_at = append_event.recorded_at
     where s.stream_id = append_event.stream_id and s.version = append_event.version and not s.archived
    returning s.epoch into place;
  end if;
  get diagnostics moved = row_count;
  if moved = 0 then
    -- Another writer was faster. It has committed: this statement sees its version.
    select s.version, case when s.archived and s.version = expected then 'archived' else 'conflict' end
      into append_event.version, outcome from annals.streams s where s.stream_id = append_event.stream_id;
    return;
  end if;
  if tip.epoch = place and tip.xid >= own then
    raise exception 'stream % was written by transaction %, and this one is only %', append_event.stream_id, tip.xid, own
      using errcode = 'AN004', hint = 'The database comes from another cluster: run annals adopt.';
  end if;
  append_event.version := append_event.version + 1;
  drawn := nextval('annals.event_sequence');
  insert into annals.events (xid, sequence, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
  values (own, drawn, append_event.stream_id, append_event.version, append_event.event_id, append_event.type,
          append_event.schema_version, append_event.data, append_event.metadata, append_event.recorded_at);
  if op is not null then
    insert into annals.outbox (xid, sequence, category, key, op, before, after, event_id, type, version, headers, recorded_at)
    values (own, drawn, append_event.category, append_event.key, append_event.op, append_event.before, append_event.after,
            append_event.event_id, append_event.type, append_event.version, append_event.headers, append_event.recorded_at);
  end if;
  outcome := 'appended';
end
$$;
