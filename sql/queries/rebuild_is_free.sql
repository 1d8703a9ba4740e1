-- True if nobody rebuilds the view now.
select case when pg_try_advisory_lock_shared(hashtext('annals.rebuild'), hashtext($1))
            then pg_advisory_unlock_shared(hashtext('annals.rebuild'), hashtext($1)) else false end
