select jsonb_pretty(to_jsonb(p)) from annals.parked_changes p where id = $1
