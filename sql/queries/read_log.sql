-- A page of the log from an index on. Log indexes are final when they are given, so nothing can appear before one later.
-- “offset 0” keeps the planner from joining the tables whole.
select e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.data, e.metadata, e.recorded_at, i.index
from (
  select index, epoch, xid, sequence from annals.log_index
  where index >= $1
  order by index limit $2
) i
cross join lateral (
  select * from annals.events e where (e.epoch, e.xid, e.sequence) = (i.epoch, i.xid, i.sequence) offset 0
) e
