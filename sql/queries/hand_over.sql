-- Held while a generation takes the place of another.
select pg_try_advisory_lock(hashtext('annals.handover'), hashtext($1))
