-- The schema, a line for each thing, in an order that stays: to be compared with sql/schema.txt.
with relations as (
  select c.oid, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'annals' and c.relkind in ('r', 'p', 'S') and c.relname !~ '^outbox_\d+$'
), lines(line) as (
  select format('%s %s', case relkind when 'S' then 'sequence' else 'table' end, relname) from relations
  union all
  select format('table %s column %s: %s %s%s%s', r.relname, lpad(a.attnum::text, 2, '0'), a.attname, format_type(a.atttypid, a.atttypmod),
                case when a.attnotnull then ' not null' else '' end, coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''))
         || coalesce(' collate "' || nullif(l.collname, 'default') || '"', '')
  from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum left join pg_collation l on l.oid = a.attcollation
  where r.relkind <> 'S'
  union all
  select format('table %s constraint %s: %s', r.relname, k.conname, pg_get_constraintdef(k.oid))
  from relations r join pg_constraint k on k.conrelid = r.oid
  union all
  select format('table %s index: %s', r.relname, pg_get_indexdef(i.indexrelid)) from relations r join pg_index i on i.indrelid = r.oid
  union all
  select format('table %s trigger %s: %s', r.relname, case t.tgenabled when 'A' then 'always' else t.tgenabled::text end, pg_get_triggerdef(t.oid))
  from relations r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
  union all
  select format('function %s(%s) returns %s%s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
                case when p.prosecdef then ', with its owner''s rights' else '' end)
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'annals'
  union all
  select format('role %s: %s on %s', g.rolname, string_agg(lower(a.privilege_type), ', ' order by a.privilege_type), r.relname)
  from relations r join pg_class c on c.oid = r.oid cross join aclexplode(c.relacl) a join pg_roles g on g.oid = a.grantee
  where g.rolname like 'annals\_%' group by g.rolname, r.relname
  union all
  select format('role %s: %s (%s) on %s', g.rolname, lower(x.privilege_type), a.attname, r.relname)
  from relations r join pg_attribute a on a.attrelid = r.oid cross join aclexplode(a.attacl) x join pg_roles g on g.oid = x.grantee
  where g.rolname like 'annals\_%'
  union all
  select format('role %s: execute %s', coalesce(g.rolname, 'public'), p.proname)
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace cross join aclexplode(p.proacl) a left join pg_roles g on g.oid = a.grantee
  where n.nspname = 'annals' and (g.rolname like 'annals\_%' or a.grantee = 0)
  union all
  select format('publication %s: %s, %s', p.pubname, string_agg(t.schemaname || '.' || t.tablename, ' '), case when p.pubviaroot then 'as their parent' end)
  from pg_publication p join pg_publication_tables t using (pubname) where p.pubname = 'annals_outbox' group by p.pubname, p.pubviaroot
)
select line from lines order by line collate "C"
