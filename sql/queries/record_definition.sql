insert into annals.definitions (name, revision, checksum) values ($1, $2, $3)
on conflict (name) do update set revision = excluded.revision, checksum = excluded.checksum, applied_at = now()
