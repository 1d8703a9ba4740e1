-- Who holds the lock of a relay's name, and whether it works: somebody reads the slot of that name, or the holder reads a
-- table.
select format('pid %s (%s, %s) since %s', a.pid, nullif(a.application_name, ''), coalesce(host(a.client_addr), 'this host'),
              to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS')),
       exists (select from pg_replication_slots s where s.slot_name = $1 and s.active) or coalesce(a.state, 'active') <> 'idle'
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid = (hashtext('annals.relay')::bigint & 4294967295)::oid
  and l.objid = (hashtext($1)::bigint & 4294967295)::oid
limit 1
