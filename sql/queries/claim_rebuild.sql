-- One process rebuilds a view at a time. Held by the session.
select pg_try_advisory_lock(hashtext('annals.rebuild'), hashtext($1))
