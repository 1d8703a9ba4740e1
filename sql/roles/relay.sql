-- The minimal rights of a relay. Run it with psql as the owner of the schema annals, after `annals migrate`:
--   psql -f sql/roles/relay.sql "$ANNALS_POSTGRES_URL"
-- Then give the role a password or certificate access, and use the role in the relay's postgres.url.
-- A relay that reads only the table (relay.source=table) needs no REPLICATION: alter role annals_relay noreplication.
create role annals_relay login replication;
grant usage on schema annals to annals_relay;
grant select on annals.outbox, annals.position_seq to annals_relay;
grant select, insert, update on annals.relay_slots to annals_relay;
grant select, insert, update, delete on annals.relay_checkpoints to annals_relay;
grant select, insert, update on annals.parked_messages to annals_relay;
grant select, insert, delete on annals.relay_snapshots to annals_relay;
-- This function creates and drops one trigger, with the owner's rights.
revoke execute on function annals.wake_by_notification(boolean) from public;
grant execute on function annals.wake_by_notification(boolean) to annals_relay;
-- Only the table's owner can create the publication. The relay uses the existing one.
create publication annals_outbox for table annals.outbox with (publish = 'insert', publish_via_partition_root = true);
