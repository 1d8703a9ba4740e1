select epoch, xid, sequence from annals.relay_checkpoints where relay = $1 and shard = $2
