insert into annals.due_times as d (category, stream_id, due_at) values ($1, $2, $3)
on conflict (category, stream_id) do update set due_at = excluded.due_at, noted_at = now()
