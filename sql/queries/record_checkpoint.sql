update annals.relay_checkpoints set xid = $3, position = $4, complete = $5, updated_at = now()
where relay = $1 and shard = $2
