delete from annals.due_times where category = $1 and stream_id = $2
