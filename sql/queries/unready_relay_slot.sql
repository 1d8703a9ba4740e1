-- Registers a relay, or says that it begins anew: nothing of the outbox goes before it is ready.
insert into annals.relays as r (relay, source) values ($1, $2)
on conflict (relay) do update set source = excluded.source, ready = false
