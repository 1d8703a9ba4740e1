-- Only one relay per name and shard is active. The lock ends with the session.
select pg_try_advisory_lock(hashtext('annals.relay'), hashtext($1))
