select stream_id from annals.streams
where category = $1 and stream_id > $2
order by stream_id
limit $3
