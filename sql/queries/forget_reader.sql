delete from annals.checkpoints where reader = $1
