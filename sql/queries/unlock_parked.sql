select pg_advisory_unlock(hashtext('annals.parked'), hashtext($1 || ' ' || $2 || ' ' || coalesce(encode($3, 'hex'), '-')))
