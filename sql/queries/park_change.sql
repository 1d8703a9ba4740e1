insert into annals.parked_changes (view, generation, stream_id, version, newest, reason, history)
values ($1, $2::integer, $3, $4, $4, $5, jsonb_build_array(jsonb_build_object('at', now(), 'what', 'parked', 'reason', $5::text)))
on conflict (view, generation, stream_id) where state = 'parked'
  do update set newest = greatest(parked_changes.newest, excluded.newest)
