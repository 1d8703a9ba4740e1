select e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.data, e.metadata, e.recorded_at, i.index
from annals.log_index i
join annals.events e on (e.epoch, e.xid, e.sequence) = (i.epoch, i.xid, i.sequence)
where i.index < $1
order by i.index desc
limit $2
