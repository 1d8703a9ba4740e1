-- A relay. Grant it to the role that logs in; with relay.source=wal that role needs REPLICATION too, which no membership gives:
--   create role relay login replication in role annals_relay
do $$ begin
  if not exists (select from pg_roles where rolname = 'annals_relay') then create role annals_relay nologin; end if;
exception when duplicate_object or unique_violation then null;  -- another database of the cluster made it
end $$;
grant usage on schema annals to annals_relay;
grant select on annals.log, annals.outbox, annals.outbox_partitions, annals.event_sequence, annals.migrations, annals.definitions to annals_relay;
grant select, insert, update on annals.relays to annals_relay;
grant select, insert, update, delete on annals.relay_checkpoints to annals_relay;
grant select, insert, update on annals.parked_messages to annals_relay;
grant select, insert, delete on annals.relay_snapshots to annals_relay;
grant select, insert, delete on annals.spans to annals_relay;
grant execute on function annals.check_server, annals.maintain_outbox, annals.note_parked to annals_relay;
