-- Appends events to one stream, and their outbox rows, in one call: one round trip.
--
-- `expected` is the version that the stream must have: null for any, 0 for a stream that does not exist. Arrays hold
-- one element for each event. An event whose op is null has no outbox row.
--
-- Returns the stream's version after the append; or, with appended = false, the version that contradicts `expected`,
-- and nothing is written. A writer that comes between the look and the insert makes the insert fail on
-- events_stream_version_key.
create function annals.append(
  stream text, stream_category text, expected bigint, event_ids uuid[], types text[], schema_versions integer[],
  datas jsonb[], event_metadata jsonb, aggregate_key text, ops text[], befores text[], afters text[],
  outbox_headers text,
  out appended boolean, out stream_version bigint, out last_position bigint, out at timestamptz
) language plpgsql as $$
declare
  previous_hash bytea;
  previous_at   timestamptz;
begin
  select e.version, e.hash, e.recorded_at into stream_version, previous_hash, previous_at
    from annals.events e where e.stream_id = stream order by e.version desc limit 1;
  stream_version := coalesce(stream_version, 0);
  appended := expected is null or expected = stream_version;
  if not appended then return; end if;
  -- The transaction's id comes after the look: whoever wrote the version that was seen has an older one, so the order of
  -- (xid, position) is the stream's. And it comes before any position: annals.maintain_outbox relies on that.
  perform pg_current_xact_id();
  -- Time never runs backwards inside a stream, whatever the machine's clock does.
  at := greatest(clock_timestamp(), previous_at);
  for i in 1 .. cardinality(event_ids) loop
    stream_version := stream_version + 1;
    last_position := nextval('annals.position_seq');
    previous_hash := annals.event_hash(previous_hash, stream, stream_version, event_ids[i], types[i],
                                       schema_versions[i], datas[i], event_metadata, at);
    insert into annals.events (position, stream_id, category, version, event_id, type, schema_version, data, metadata,
                               recorded_at, hash)
    values (last_position, stream, stream_category, stream_version, event_ids[i], types[i], schema_versions[i],
            datas[i], event_metadata, at, previous_hash);
    if ops[i] is not null then
      insert into annals.outbox (position, aggregate_type, key, op, before, after, event_id, type, version, headers,
                                 recorded_at)
      values (last_position, stream_category, aggregate_key, ops[i]::"char", befores[i]::json, afters[i]::json,
              event_ids[i], types[i], stream_version, outbox_headers::json, at);
    end if;
  end loop;
end
$$;
