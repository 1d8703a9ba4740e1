-- What folding a stream needs of its events: fewer columns than read_stream, because most requests do only this.
select version, event_id, type, schema_version, data, recorded_at
from annals.events
where stream_id = $1 and version > $2
order by version
limit $3
