select xid, position from annals.relay_checkpoints where relay = $1 order by xid, position limit 1
