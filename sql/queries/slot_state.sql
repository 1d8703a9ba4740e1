select active, coalesce(active_pid, 0), restart_lsn, confirmed_flush_lsn,
       coalesce(wal_status, ''), (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint,
       (pg_current_wal_lsn() - restart_lsn)::bigint, plugin, coalesce(database, '')
from pg_replication_slots where slot_name = $1
