-- One process follows the log under a name at a time. Held by the session.
select pg_try_advisory_lock(hashtext('annals.reader'), hashtext($1))
