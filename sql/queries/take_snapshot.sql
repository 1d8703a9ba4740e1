insert into annals.snapshots (stream_id, version, folded_by, state) values ($1, $2, $3, $4)
on conflict (stream_id) do update
  set version = excluded.version, folded_by = excluded.folded_by, state = excluded.state, taken_at = now()
  where annals.snapshots.version < excluded.version or annals.snapshots.folded_by <> excluded.folded_by
