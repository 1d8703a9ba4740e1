select index from annals.log_index where event_id = $1 order by index limit 1
