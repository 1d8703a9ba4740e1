-- One process follows the log under a name at a time, for half a minute at a time. $2: until when it has it; null: it has not.
insert into annals.due_times as d (category, stream_id, due_at) values ('reader', $1, now() + interval '30 seconds')
on conflict (category, stream_id) do update set due_at = excluded.due_at where d.due_at < now() or d.due_at = $2
returning due_at
