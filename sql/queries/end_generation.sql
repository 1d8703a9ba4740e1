-- True once nobody writes to a generation any more. Held by the session that asks.
select pg_try_advisory_lock(hashtext('annals.view'), hashtext($1 || ' ' || $2))
