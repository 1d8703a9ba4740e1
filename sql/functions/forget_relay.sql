-- Retires a reader of the outbox: nothing is kept for it any more. Returns whether it was there.
create or replace function annals.forget_relay(name text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from annals.relay_checkpoints where relay = name;
  delete from annals.relays where relay = name;
  return found;
end
$$;
