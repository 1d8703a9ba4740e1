-- Bounds of both columns, as in read_category.
select e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.data, e.metadata, e.recorded_at, i.index
from (
  select index, epoch, xid, sequence from annals.log_index
  where correlation is not null
    and (correlation, index) >= ($1, $2) and (correlation, index) <= ($1, 9223372036854775807)
  order by correlation, index limit $3
) i
cross join lateral (
  select * from annals.events e where (e.epoch, e.xid, e.sequence) = (i.epoch, i.xid, i.sequence) offset 0
) e
