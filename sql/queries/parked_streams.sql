select id, stream_id, version, newest, requested from annals.parked_changes
where view = $1 and generation = $2::integer and state = 'parked' order by id
