-- One relay of a name and part works; the lock ends with the session.
select pg_try_advisory_lock(hashtext('annals.relay'), hashtext($1))
