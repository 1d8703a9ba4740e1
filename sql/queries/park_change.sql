insert into annals.parked_changes (view, stream_id, version, newest, reason, history)
values ($1, $2, $3, $3, $4, jsonb_build_array(jsonb_build_object('at', now(), 'what', 'parked', 'reason', $4::text)))
on conflict (view, stream_id) where state = 'parked'
  do update set newest = greatest(parked_changes.newest, excluded.newest)
