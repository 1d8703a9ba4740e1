-- $3 as it was seen: a later note stays. $4 when it is due next; null: never.
with gone as (
  delete from annals.due_times where category = $1 and stream_id = $2 and due_at = $3 and $4::timestamptz is null
)
update annals.due_times set due_at = $4 where category = $1 and stream_id = $2 and due_at = $3 and $4::timestamptz is not null
