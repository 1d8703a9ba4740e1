select epoch, xid, sequence from annals.relay_checkpoints where relay = $1 order by epoch, xid, sequence limit 1
