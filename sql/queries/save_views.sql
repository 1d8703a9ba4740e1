-- $1 documents, $2 their views of one minute, $3 all their views, $4 their visitors in hexadecimal digits, $5 the minute since 1970
with given as (
  select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) u(document, added, views, visitors)
), days as (
  insert into annals.document_views_by_day as d (document, day, views, last_minute)
    select document, (to_timestamp($5::bigint * 60) at time zone 'utc')::date, added, $5::bigint from given
  on conflict (document, day) do update set views = d.views + excluded.views, last_minute = excluded.last_minute
    where d.last_minute < excluded.last_minute
)
insert into annals.document_views as v (document, views, visitors, saved_at)
  select document, views, decode(visitors, 'hex'), now() from given
on conflict (document) do update set views = greatest(v.views, excluded.views), saved_at = excluded.saved_at,
  visitors = case when excluded.views >= v.views then excluded.visitors else v.visitors end
