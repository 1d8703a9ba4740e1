-- Notes a change that waits; no row: its stream is not parked any more.
update annals.parked_changes set newest = greatest(newest, $4)
where view = $1 and generation = $2::integer and stream_id = $3 and state = 'parked'
returning id
