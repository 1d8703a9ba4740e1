-- Only rows of transactions older than every running one: no row can appear later before a reader's position.
select xid, position, stream_id, category, version, event_id, type, schema_version, data, metadata, recorded_at, hash
from annals.events
where (xid, position) > ($1, $2) and xid < pg_snapshot_xmin(pg_current_snapshot())
order by xid, position
limit $3
