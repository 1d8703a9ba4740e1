-- Streams whose parked change was delivered in the last day, the latest first: a store that comes back older may lack it.
select stream_id from annals.parked_changes
where view = $1 and generation = $2::integer and state = 'delivered' and settled_at > now() - interval '1 day'
order by settled_at desc limit 1000
