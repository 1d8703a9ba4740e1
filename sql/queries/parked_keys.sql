select topic, key, bool_or(requested) from annals.parked_messages
where relay = $1 and state = 'parked' group by topic, key
