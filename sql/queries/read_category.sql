-- Both bounds are of both columns, so that the index on both serves it and no other. With “category = $1” the order would be that of the
-- index number alone, and where most of the log is of the category the planner would read its primary key from the beginning.
select e.stream_id, e.version, e.event_id, e.type, e.schema_version, e.data, e.metadata, e.recorded_at, i.index
from (
  select index, epoch, xid, sequence from annals.log_index
  where (category, index) >= ($1, $2) and (category, index) <= ($1, 9223372036854775807)
  order by category, index limit $3
) i
cross join lateral (
  select * from annals.events e where (e.epoch, e.xid, e.sequence) = (i.epoch, i.xid, i.sequence) offset 0
) e
