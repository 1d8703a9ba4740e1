select 1 from annals.relay_slots where slot = $1 and ready
