-- Held by the session of whoever writes to a generation, shared with others.
select pg_try_advisory_lock_shared(hashtext('annals.view'), hashtext($1 || ' ' || $2))
