select c.oid::bigint, p.schemaname::text, p.tablename::text
from pg_publication_tables p
join pg_namespace n on n.nspname = p.schemaname
join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
where p.pubname = $1
order by p.schemaname, p.tablename
