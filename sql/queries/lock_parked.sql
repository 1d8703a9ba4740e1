select pg_try_advisory_lock(hashtext('annals.parked'), hashtext($1 || ' ' || $2 || ' ' || coalesce(encode($3, 'hex'), '-')))
