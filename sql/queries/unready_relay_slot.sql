update annals.relay_slots set ready = false where slot = $1
