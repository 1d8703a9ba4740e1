-- Nothing is returned if the relay was forgotten.
update annals.relays set start = $2, ready_at = now(), ready = true where relay = $1 returning 1
