-- True unless a generation of the view takes the place of another just now.
select case when pg_try_advisory_lock_shared(hashtext('annals.handover'), hashtext($1))
            then pg_advisory_unlock_shared(hashtext('annals.handover'), hashtext($1)) else false end
