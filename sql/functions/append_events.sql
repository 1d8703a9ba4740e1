-- Appends events to one or several streams, and their outbox rows, in one call: all or nothing. Read annals.append_event
-- first: the steps are the same.
--
-- Arrays hold one element for each stream (streams, categories, keys, expected; null expects any version) and one for each
-- event (from event_streams on: the number of its stream, counted from 1, and its fields). `command` is the key under which
-- `answer` is kept: a second call with the same key and request gets it back and appends nothing.
--
-- `outcome`: appended, with the streams' new versions; conflict or archived, with the versions found; replayed, with the
-- first answer; mismatch, if the key was used for another request; running, if a call with the key has not ended.
create or replace function annals.append_events(
  streams text[], categories text[], keys text[], expected bigint[], event_streams integer[], event_ids uuid[],
  types text[], schema_versions integer[], datas json[], ops text[], befores json[], afters json[], metadata json,
  headers json, command text default null, request bytea default null, answer json default null,
  out outcome text, out versions bigint[], out recorded_at timestamptz, out replay json
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  tip   record;
  known record;
  place integer;
  own   xid8;
  moved integer;
  seen  bigint[];
  added bigint[];
  drawn bigint[];
  numbers bigint[];
  is_first boolean := true;
begin
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'an append must be the first write of its transaction' using errcode = 'AN003',
      hint = 'Append first, then write to other tables.';
  end if;
  if current_setting('annals.server', true) is distinct from 'known' then perform annals.check_server(); end if;
  if (append_events.metadata ->> 'actor') is null
     or exists (select from unnest(streams, categories) s(id, category)
                 where s.category = '' or strpos(s.category, '-') <> 0 or not starts_with(s.id, s.category || '-')
                    or octet_length(s.id) not between octet_length(s.category) + 2 and 500)
     or exists (select from unnest(schema_versions, datas, ops, befores, afters) e(schema_version, data, op, before, after)
                 where e.schema_version < 1 or json_typeof(e.data) <> 'object'
                    or e.op is not null and (e.op not in ('c', 'u', 'd') or (e.op = 'c') <> (e.before is null)
                                             or (e.op = 'd') <> (e.after is null))) then
    perform annals.refuse_event(streams[u.stream], categories[u.stream], u.schema_version, u.data, append_events.metadata,
                                u.op::"char", u.before, u.after)
       from unnest(event_streams, schema_versions, datas, ops, befores, afters) u(stream, schema_version, data, op, before, after);
  end if;
  if command is not null then
    if not pg_try_advisory_xact_lock(hashtextextended(command, 1)) then outcome := 'running'; return; end if;
    select c.request, c.answer into known from annals.commands c where c.key = command;
    if found then
      outcome := case when known.request = append_events.request then 'replayed' else 'mismatch' end;
      replay := case when outcome = 'replayed' then known.answer end;
      return;
    end if;
  end if;
  if array_position(expected, null) is not null then
    perform pg_advisory_xact_lock(hashtextextended(s.id, 0))
       from (select u.id from unnest(streams, expected) u(id, version) where u.version is null order by u.id) s;
  end if;
  select array_agg(coalesce(s.version, 0) order by u.n),
         max(case when u.version <> coalesce(s.version, 0) then 'conflict' when s.archived then 'archived' end),
         max(greatest(clock_timestamp(), s.recorded_at))
    into seen, outcome, append_events.recorded_at
    from unnest(streams, expected) with ordinality u(id, version, n) left join annals.streams s on s.stream_id = u.id;
  versions := seen;
  -- The same call, sent again after its connection broke, may have been faster.
  if array_position(expected, null) is not null and exists (
    select from unnest(event_streams, event_ids) u(stream, id)
      join annals.events e on e.stream_id = streams[u.stream] and e.version > seen[u.stream] - 1000 and e.event_id = u.id
     where expected[u.stream] is null) then
    outcome := 'appended';
    return;
  end if;
  if outcome is not null then return; end if;
  -- Loops and expressions of PL/pgSQL cost less than statements.
  added := array_fill(0, array[cardinality(streams)]);
  foreach place in array event_streams loop added[place] := added[place] + 1; end loop;
  if 0 = any (added) or cardinality(added) <> cardinality(streams) then
    raise exception 'an append needs an event for each stream, and a stream for each event'
      using errcode = 'check_violation', constraint = 'append_events_check';
  end if;
  own := pg_current_xact_id();
  -- Tips move in the order of their names, so that two writers of the same streams never wait for each other.
  for tip in
    select u.id, u.category, u.n, s.epoch, s.xid
      from unnest(streams, categories) with ordinality u(id, category, n)
      left join annals.streams s on s.stream_id = u.id
     order by u.id
  loop
    if seen[tip.n] = 0 then
      insert into annals.streams as s (stream_id, category, version, xid, recorded_at)
      values (tip.id, tip.category, added[tip.n], own, append_events.recorded_at) on conflict do nothing;
    else
      update annals.streams s
         set version = seen[tip.n] + added[tip.n], epoch = default, xid = own, recorded_at = append_events.recorded_at
       where s.stream_id = tip.id and s.version = seen[tip.n] and not s.archived
      returning s.epoch into place;
      if tip.epoch = place and tip.xid >= own then
        raise exception 'stream % was written by transaction %, and this one is only %', tip.id, tip.xid, own
          using errcode = 'AN004', hint = 'The database comes from another cluster: run annals adopt.';
      end if;
    end if;
    get diagnostics moved = row_count;
    if moved = 0 then
      -- Another writer was faster. Tips that have moved already go back with the transaction.
      if not is_first then raise exception 'stream % was changed meanwhile', tip.id using errcode = 'AN002'; end if;
      select array_agg(coalesce(s.version, 0) order by u.n) into versions
        from unnest(streams) with ordinality u(id, n) left join annals.streams s on s.stream_id = u.id;
      outcome := 'conflict';
      return;
    end if;
    is_first := false;
  end loop;
  -- Numbers first, then both tables from the same arrays: a join of the tables' rows would cost more than the rows.
  versions := seen;
  foreach place in array event_streams loop
    versions[place] := versions[place] + 1;
    numbers := numbers || versions[place];
    drawn := drawn || nextval('annals.event_sequence');
  end loop;
  insert into annals.events (xid, sequence, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
  select own, u.sequence, streams[u.stream], u.version, u.event_id, u.type, u.schema_version, u.data, append_events.metadata,
         append_events.recorded_at
    from unnest(drawn, event_streams, numbers, event_ids, types, schema_versions, datas)
         u(sequence, stream, version, event_id, type, schema_version, data);
  insert into annals.outbox (xid, sequence, category, key, op, before, after, event_id, type, version, headers, recorded_at)
  select own, u.sequence, categories[u.stream], keys[u.stream], u.op::"char", u.before, u.after, u.event_id, u.type, u.version,
         append_events.headers, append_events.recorded_at
    from unnest(drawn, event_streams, numbers, event_ids, types, ops, befores, afters)
         u(sequence, stream, version, event_id, type, op, before, after)
   where u.op is not null;
  if command is not null then
    insert into annals.commands (part, key, request, answer, recorded_at)
    values (mod((extract(epoch from clock_timestamp()) / 86400)::bigint, 4), command, append_events.request,
            append_events.answer, append_events.recorded_at);
  end if;
  outcome := 'appended';
end
$$;
