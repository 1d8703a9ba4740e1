-- Where the source stands now. The functions are asked after the snapshot was taken: all that it sees lies before them.
select pg_current_snapshot()::text, pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(),
       (select last_value from annals.position_seq)
