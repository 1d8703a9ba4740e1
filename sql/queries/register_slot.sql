-- Remembers that a slot of a connector exists: one that is missing later is not taken for a first start.
insert into annals.relays (relay, source, feed, ready, ready_at) values ($1, 'wal', 'tables', true, now())
on conflict (relay) do update set source = 'wal', ready = true
where annals.relays.feed = 'tables' and not annals.relays.ready
