-- Refuses a server that is not this log's: a restored or copied database, a cluster with another identifier. Transaction ids
-- of the log mean nothing there. Each session of the server is checked once.
create or replace function annals.check_server() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  known annals.log;
  found record;
begin
  select * into known from annals.log;
  select c.system_identifier, d.oid into found
    from pg_control_system() c, pg_database d where d.datname = current_database();
  if known.system_identifier is distinct from found.system_identifier or known.database_oid is distinct from found.oid then
    raise exception 'log % belongs to database % of cluster %, and this is database % of cluster %',
      known.id, known.database_oid, known.system_identifier, found.oid, found.system_identifier
      using errcode = 'AN004', hint = 'A restored, copied or upgraded database: run annals adopt once nothing else writes to its original.';
  end if;
  perform set_config('annals.server', 'known', false);
end
$$;
