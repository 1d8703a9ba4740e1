select l.id, i.event_id from annals.log l left join annals.log_index i on i.index = $1
