insert into annals.relay_slots (slot, start) values ($1, $2)
on conflict (slot) do update set start = excluded.start, ready_at = now(), ready = true
