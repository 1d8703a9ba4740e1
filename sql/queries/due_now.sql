select stream_id, due_at, noted_at < now() - interval '1 hour' from annals.due_times
where category = $1 and due_at <= now() order by due_at limit $2
