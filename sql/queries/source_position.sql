-- The source's position. The functions run after the snapshot is taken: all that it sees is before their LSNs.
select pg_current_snapshot()::text, pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(),
       (select last_value from annals.event_sequence), (select epoch from annals.log)
