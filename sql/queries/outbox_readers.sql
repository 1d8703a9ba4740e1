select r.relay, s.confirmed_flush_lsn from annals.relays r left join pg_replication_slots s on s.slot_name = r.relay
where r.feed = 'outbox' order by r.relay
