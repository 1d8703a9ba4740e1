-- The least that a relay needs, for psql as the owner of the schema annals, after `annals migrate`:
--   psql -f sql/roles/relay.sql "$ANNALS_POSTGRES_URL"
-- then give the role a password, or let it in by certificate, and set postgres.url of the relay to it.
-- A relay that reads the table alone (relay.source=table) needs no REPLICATION: alter role annals_relay noreplication.
create role annals_relay login replication;
grant usage on schema annals to annals_relay;
grant select on annals.outbox, annals.position_seq to annals_relay;
grant select, insert, update on annals.relay_slots to annals_relay;
grant select, insert, update, delete on annals.relay_checkpoints to annals_relay;
grant select, insert, update on annals.parked_messages to annals_relay;
grant select, insert, delete on annals.relay_snapshots to annals_relay;
-- Makes and drops one trigger, as the owner.
revoke execute on function annals.wake_by_notification(boolean) from public;
grant execute on function annals.wake_by_notification(boolean) to annals_relay;
-- Only an owner can make it; the relay finds it there.
create publication annals_outbox for table annals.outbox with (publish = 'insert', publish_via_partition_root = true);
