-- The transaction that holds readers of the log back, if one has run for longer than $1 seconds. Those of other
-- databases of the same server count: a snapshot's xmin is the server's.
select pid, coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::double precision,
       coalesce(application_name, ''), left(coalesce(query, ''), 200)
from pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid()
  and xact_start < clock_timestamp() - make_interval(secs => $1)
order by xact_start
limit 1
