select table_id::bigint, seen::text, position from annals.relay_snapshots where slot = $1
