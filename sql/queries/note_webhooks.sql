-- $1 webhooks, $2 documents, $3 the first version of each that is to be sent, $4 the newest. $5: what was sent already is sent again.
insert into annals.webhook_queues as q (webhook, document, next, newest)
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
on conflict (webhook, document) do update set
  newest = greatest(q.newest, excluded.newest),
  next = case when $5 then least(q.next, excluded.next) else q.next end,
  sent = case when $5 and excluded.next <= q.next then 0 else q.sent end,
  failures = case when $5 and excluded.next <= q.next then 0 else q.failures end,
  due_at = case when $5 and q.parked is not null and excluded.next <= q.next then now() else q.due_at end,
  parked = case when $5 and excluded.next <= q.next then null else q.parked end,
  parked_at = case when $5 and excluded.next <= q.next then null else q.parked_at end
