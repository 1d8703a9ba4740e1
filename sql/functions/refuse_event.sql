-- The rules of what the log holds: refuses an event that breaks one, by the rule's name. Returns the schema version of one
-- that breaks none.
create or replace function annals.refuse_event(
  stream_id text, category text, schema_version integer, data json, metadata json, op "char", before json, after json
) returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  broken text := case
    when category = '' or strpos(category, '-') <> 0 then 'streams_category_check'
    when not starts_with(stream_id, category || '-') or octet_length(stream_id) not between octet_length(category) + 2 and 500
      then 'streams_stream_id_check'
    when schema_version < 1 then 'events_schema_version_check'
    when json_typeof(data) <> 'object' then 'events_data_check'
    when (metadata ->> 'actor') is null then 'events_metadata_check'
    when op is not null and (op not in ('c', 'u', 'd') or (op = 'c') <> (before is null) or (op = 'd') <> (after is null))
      then 'outbox_op_check'
  end;
begin
  if broken is null then return schema_version; end if;
  raise exception 'an event of stream “%” breaks the rule %', stream_id, broken
    using errcode = 'check_violation', constraint = broken, hint = case broken
      when 'streams_category_check' then 'A category is not empty and has no hyphen.'
      when 'streams_stream_id_check' then 'A stream is named by its category, a hyphen and an id, in 500 bytes at most.'
      when 'events_schema_version_check' then 'Schema versions begin with 1.'
      when 'events_data_check' then 'The data is a JSON object.'
      when 'events_metadata_check' then 'The metadata names the actor.'
      else 'The operation is c without before, u with both, or d without after.'
    end;
end
$$;
