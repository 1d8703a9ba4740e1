select stream_id from annals.events
where category = $1 and version = 1 and stream_id > $2
order by stream_id
limit $3
