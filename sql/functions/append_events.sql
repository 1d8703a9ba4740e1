-- Appends events to one or several streams, and their outbox rows, in one call: all or nothing. Read annals.append_event
-- first: the steps are the same.
--
-- Arrays hold one element for each stream (streams, categories, keys, expected; null expects any version) and one for each
-- event (from event_streams on: the number of its stream, counted from 1, and its fields). `command` is the key under which
-- `answer` is kept: a second call with the same key and request gets it back and appends nothing.
--
-- An event that breaks a rule is found while the events are written: its transaction cannot be used for another append.
--
-- `outcome`: appended, with the streams' new versions; conflict or archived, with the versions found; replayed, with the
-- first answer; mismatch, if the key was used for another request; running, if a call with the key has not ended.
--
-- An expression of PL/pgSQL costs less than a microsecond, a statement ten or more, and elements by their number less than
-- `unnest`, which keeps each row aside first: hence the loops. Without the generic plan the server would plan both inserts anew
-- for each call: with the number of rows known they look cheaper to it.
create or replace function annals.append_events(
  streams text[], categories text[], keys text[], expected bigint[], event_streams integer[], event_ids uuid[],
  types text[], schema_versions integer[], datas json[], ops text[], befores json[], afters json[], metadata json,
  headers json, command text default null, request bytea default null, answer json default null,
  out outcome text, out versions bigint[], out recorded_at timestamptz, out replay json
) language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  count   integer := cardinality(streams);
  total   integer := cardinality(event_ids);
  takes   boolean := array_position(expected, null) is not null;
  queue   integer[];
  tip     annals.streams;
  tips    annals.streams[] := '{}';
  known   record;
  own     xid8;
  place   integer;
  n       integer;
  moved   integer;
  seen    bigint[] := '{}';
  added   bigint[];
  drawn   bigint[] := '{}';
  numbers bigint[] := '{}';
  is_first boolean := true;
begin
  if pg_current_xact_id_if_assigned() is not null then
    raise exception 'an append must be the first write of its transaction' using errcode = 'AN003',
      hint = 'Append first, then write to other tables.';
  end if;
  if current_setting('annals.server', true) is distinct from 'known' then perform annals.check_server(); end if;
  if (append_events.metadata ->> 'actor') is null then
    perform annals.refuse_event(streams[1], categories[1], 1, '{}', append_events.metadata, null, null, null);
  end if;
  for n in 1..count loop
    if strpos(categories[n], '-') <> 0 or not starts_with(streams[n], categories[n] || '-') or categories[n] = ''
       or octet_length(streams[n]) not between octet_length(categories[n]) + 2 and 500 then
      perform annals.refuse_event(streams[n], categories[n], 1, '{}', append_events.metadata, null, null, null);
    end if;
  end loop;
  if count = 1 then
    added := array[total];
    if total = 0 or not 1 = all (event_streams) then added := '{}'; end if;
  else
    added := array_fill(0, array[count]);
    foreach place in array event_streams loop added[place] := added[place] + 1; end loop;
  end if;
  if 0 = any (added) or cardinality(added) <> count or cardinality(event_streams) <> total
     or cardinality(types) <> total or cardinality(schema_versions) <> total or cardinality(datas) <> total
     or cardinality(ops) <> total or cardinality(befores) <> total or cardinality(afters) <> total
     or cardinality(categories) <> count or cardinality(keys) <> count or cardinality(expected) <> count then
    raise exception 'an append needs an event for each stream, a stream for each event, and arrays of equal lengths'
      using errcode = 'check_violation', constraint = 'append_events_check';
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
  if takes then
    perform pg_advisory_xact_lock(hashtextextended(s.id, 0))
       from (select u.id from unnest(streams, expected) u(id, version) where u.version is null order by u.id) s;
  end if;
  append_events.recorded_at := clock_timestamp();
  for n in 1..count loop
    tip := null;
    if count > 1 or expected[n] is distinct from 0 then
      select * into tip from annals.streams s where s.stream_id = streams[n];
      append_events.recorded_at := greatest(append_events.recorded_at, tip.recorded_at);
      if expected[n] <> coalesce(tip.version, 0) then outcome := 'conflict';
      elsif tip.archived and outcome is null then outcome := 'archived';
      end if;
    end if;
    tips[n] := tip;
    seen[n] := coalesce(tip.version, 0);
  end loop;
  versions := seen;
  -- The same call, sent again after its connection broke, may have been faster.
  if takes and exists (
    select from unnest(event_streams, event_ids) u(stream, id)
      join annals.events e on e.stream_id = streams[u.stream] and e.version > seen[u.stream] - 1000 and e.event_id = u.id
     where expected[u.stream] is null) then
    outcome := 'appended';
    return;
  end if;
  if outcome is not null then return; end if;
  own := pg_current_xact_id();
  -- Tips move in the order of their names, so that two writers of the same streams never wait for each other.
  if count = 1 then
    queue := '{1}';
  else
    queue := array(select u.n from unnest(streams) with ordinality u(id, n) order by u.id);
  end if;
  foreach n in array queue loop
    if seen[n] = 0 then
      insert into annals.streams as s (stream_id, category, version, xid, recorded_at)
      values (streams[n], categories[n], added[n], own, append_events.recorded_at) on conflict do nothing;
    else
      update annals.streams s
         set version = seen[n] + added[n], epoch = default, xid = own, recorded_at = append_events.recorded_at
       where s.stream_id = streams[n] and s.version = seen[n] and not s.archived
      returning s.epoch into place;
    end if;
    get diagnostics moved = row_count;
    if moved = 0 then
      -- Another writer was faster. Tips that have moved already go back with the transaction.
      if not is_first then raise exception 'stream % was changed meanwhile', streams[n] using errcode = 'AN002'; end if;
      select array_agg(coalesce(s.version, 0) order by u.n) into versions
        from unnest(streams) with ordinality u(id, n) left join annals.streams s on s.stream_id = u.id;
      outcome := 'conflict';
      return;
    end if;
    if seen[n] > 0 and tips[n].epoch = place and tips[n].xid >= own then
      raise exception 'stream % was written by transaction %, and this one is only %', streams[n], tips[n].xid, own
        using errcode = 'AN004', hint = 'The database comes from another cluster: run annals adopt.';
    end if;
    is_first := false;
  end loop;
  for n in 1..total loop
    place := event_streams[n];
    versions[place] := versions[place] + 1;
    numbers[n] := versions[place];
    drawn[n] := nextval('annals.event_sequence');
  end loop;
  insert into annals.events (xid, sequence, stream_id, version, event_id, type, schema_version, data, metadata, recorded_at)
  select own, drawn[i], streams[event_streams[i]], numbers[i], event_ids[i], types[i],
         -- The rules of an event are asked here, where its fields are read anyway.
         case when schema_versions[i] >= 1 and json_typeof(datas[i]) = 'object'
                   and (ops[i] is null or ops[i] in ('c', 'u', 'd') and (ops[i] = 'c') = (befores[i] is null)
                                          and (ops[i] = 'd') = (afters[i] is null))
              then schema_versions[i]
              else annals.refuse_event(streams[event_streams[i]], categories[event_streams[i]], schema_versions[i], datas[i],
                                       append_events.metadata, ops[i]::"char", befores[i], afters[i]) end,
         datas[i], append_events.metadata, append_events.recorded_at
    from generate_series(1, total) i;
  insert into annals.outbox (xid, sequence, category, key, op, before, after, event_id, type, version, headers, recorded_at)
  select own, drawn[i], categories[event_streams[i]], keys[event_streams[i]], ops[i]::"char", befores[i], afters[i],
         event_ids[i], types[i], numbers[i], append_events.headers, append_events.recorded_at
    from generate_series(1, total) i where ops[i] is not null;
  if command is not null then
    insert into annals.commands (part, key, request, answer, recorded_at)
    values (mod((extract(epoch from clock_timestamp()) / 86400)::bigint, 4), command, append_events.request,
            append_events.answer, append_events.recorded_at);
  end if;
  outcome := 'appended';
end
$$;
