-- The columns of a table, for a reader of its changes. Domains are resolved to their base types.
with recursive resolved(attnum, depth, type, modifier) as (
  select attnum, 0, atttypid, atttypmod
  from pg_attribute where attrelid = $1::bigint::oid and attnum > 0 and not attisdropped
  union all
  select r.attnum, r.depth + 1, t.typbasetype, case when r.modifier >= 0 then r.modifier else t.typtypmod end
  from resolved r join pg_type t on t.oid = r.type where t.typtype = 'd'
), base as (
  select distinct on (attnum) attnum, type, modifier from resolved order by attnum, depth desc
)
select a.attname::text, not a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       array_position(k.conkey, a.attnum)::bigint, a.atttypid::bigint, t.typname::text, b.modifier,
       (select json_agg(enumlabel order by enumsortorder)::text from pg_enum where enumtypid in (t.oid, e.oid)),
       e.typname::text, a.attidentity <> ''
from pg_attribute a
join base b on b.attnum = a.attnum
join pg_type t on t.oid = b.type
left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = ''
left join pg_constraint k on k.conrelid = a.attrelid and k.contype = 'p'
where a.attrelid = $1::bigint::oid
order by a.attnum
