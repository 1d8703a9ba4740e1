select coalesce(max(version), 0) from annals.events where stream_id = $1
