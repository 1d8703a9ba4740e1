select log_id, index, event_id from annals.checkpoints where reader = $1
