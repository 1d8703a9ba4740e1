insert into annals.checkpoints (reader, log_id, index, event_id)
select $1, l.id, $2::bigint, i.event_id from annals.log l left join annals.log_index i on i.index = $2::bigint - 1
-- The event that was handled, or nothing is kept. null: an event that the reader left out.
where $3::uuid is null or i.event_id = $3
on conflict (reader) do update
  set log_id = excluded.log_id, index = excluded.index, event_id = excluded.event_id, updated_at = now()
