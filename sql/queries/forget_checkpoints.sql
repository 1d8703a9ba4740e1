delete from annals.relay_checkpoints where relay = $1
