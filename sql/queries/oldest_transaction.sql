-- The oldest transaction that blocks readers of the log, if it has run for longer than $1 seconds. Transactions of
-- other databases on the same server count too: a snapshot's xmin is server-wide.
select pid, coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::double precision,
       coalesce(application_name, ''), left(coalesce(query, ''), 200)
from pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid()
  and xact_start < clock_timestamp() - make_interval(secs => $1)
order by xact_start
limit 1
