-- The oldest transaction that holds the sequencer back, if it has run for longer than $1 seconds: of any database of the
-- server, because a snapshot's xmin is server-wide. Prepared transactions too; they have no process (0).
select pid, seconds, application, query from (
  select pid, coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::double precision as seconds,
         coalesce(application_name, '') as application, left(coalesce(query, ''), 200) as query
  from pg_stat_activity
  where backend_xid is not null and pid <> pg_backend_pid()
    and xact_start < clock_timestamp() - make_interval(secs => $1)
  union all
  select 0, extract(epoch from clock_timestamp() - prepared)::double precision, 'prepared transaction', gid
  from pg_prepared_xacts where prepared < clock_timestamp() - make_interval(secs => $1)
) holders
order by seconds desc
limit 1
