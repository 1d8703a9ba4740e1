-- $1 webhooks, $2 documents, $3 the first version of each that is to be sent, $4 the newest. $5: what was sent already is sent again; whoever
-- sends the document at this moment then settles nothing, and it goes on from here within a minute.
insert into annals.webhook_queues as q (webhook, document, next, newest)
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
on conflict (webhook, document) do update set
  newest = greatest(q.newest, excluded.newest),
  next = case when $5 then least(q.next, excluded.next) else q.next end,
  sent = case when $5 and excluded.next <= q.next then 0 else q.sent end,
  failures = case when $5 and excluded.next <= q.next then 0 else q.failures end,
  due_at = case when not $5 then q.due_at when q.parked is null then least(q.due_at + interval '1 microsecond', now() + interval '1 minute')
    when excluded.next <= q.next then now() else q.due_at end,
  parked = case when $5 and excluded.next <= q.next then null else q.parked end,
  parked_at = case when $5 and excluded.next <= q.next then null else q.parked_at end
