insert into annals.relay_snapshots (slot, table_id, seen, position)
values ($1, $2::bigint::oid, $3::text::pg_snapshot, $4)
on conflict (slot, table_id) do nothing
