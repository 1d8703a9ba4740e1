select id, stream_id, version, newest, requested from annals.parked_changes where view = $1 and state = 'parked' order by id
