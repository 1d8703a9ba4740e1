-- What is due by now, the earliest first, each for one caller alone: a caller that is gone leaves it to the next one in half a minute.
with taken as (
  select category, stream_id from annals.due_times
  where category = $1 and due_at <= now() order by due_at limit $2 for update skip locked
)
update annals.due_times d set due_at = now() + interval '30 seconds'
from taken t where d.category = t.category and d.stream_id = t.stream_id
returning d.stream_id, d.due_at, d.noted_at < now() - interval '1 hour'
