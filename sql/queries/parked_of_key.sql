select id, partition, value, headers, timestamp from annals.parked_messages
where relay = $1 and topic = $2 and key is not distinct from $3 and state = 'parked'
order by place, ordinal, id
limit 1000
