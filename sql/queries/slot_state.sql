select active, coalesce(active_pid, 0), restart_lsn, confirmed_flush_lsn,
       coalesce(wal_status, ''), (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint,
       (pg_current_wal_lsn() - restart_lsn)::bigint,
       case when slot_type <> 'logical' then 'it is a physical slot'
            when plugin <> 'pgoutput' then format('its plugin is %s', plugin)
            when database <> current_database() then format('it belongs to database %s', database)
            else '' end,
       slot_type = 'physical'
from pg_replication_slots where slot_name = $1
