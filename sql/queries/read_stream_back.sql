select stream_id, version, event_id, type, schema_version, data, metadata, recorded_at
from annals.events
where stream_id = $1 and version < $2
order by version desc
limit $3
