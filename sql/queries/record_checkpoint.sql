update annals.relay_checkpoints set epoch = $3, xid = $4, sequence = $5, complete = $6, updated_at = now()
where relay = $1 and shard = $2
