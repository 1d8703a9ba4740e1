select current_setting('server_version_num')::integer, current_setting('wal_level'),
       current_setting('max_replication_slots')::integer, current_setting('max_wal_senders')::integer,
       (select rolreplication or rolsuper from pg_roles where rolname = current_user)
