-- Retires a reader of the outbox: nothing is kept for it any more. Returns whether it was there. One that is running is not
-- retired: it would lose its place while it works.
create or replace function annals.forget_relay(name text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not pg_try_advisory_xact_lock(hashtext('annals.relay'), hashtext(name)) then
    raise exception 'relay % is running', name using errcode = 'object_in_use', hint = 'Stop it first.';
  end if;
  delete from annals.relay_checkpoints where relay = name;
  delete from annals.relays where relay = name;
  return found;
end
$$;
