-- $7: the log's epoch. Nothing is returned if the relay was forgotten, or if the log is in another epoch by now.
update annals.relay_checkpoints set epoch = $3, xid = $4, sequence = $5, complete = $6, updated_at = now()
where relay = $1 and shard = $2 and $7 = (select l.epoch from annals.log l)
returning 1
