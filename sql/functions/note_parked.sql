-- Adds a line to the history of a parked message.
create or replace function annals.note_parked(noted bigint, what text, reason text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  update annals.parked_messages
  set history = history || jsonb_build_array(jsonb_build_object('at', now(), 'what', what, 'reason', reason))
  where id = noted
$$;
