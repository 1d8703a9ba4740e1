-- Several shards of a relay may be active at once, but not while another relay has locked the whole name.
select pg_try_advisory_lock_shared(hashtext('annals.relay'), hashtext($1))
