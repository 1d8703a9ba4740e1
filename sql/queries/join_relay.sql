-- Several parts of a relay may work at once, but not beside one that has the whole name.
select pg_try_advisory_lock_shared(hashtext('annals.relay'), hashtext($1))
