-- $1 webhook, $2 document, $3 until when it was taken, $4 the version that was next then, $5 the one that is next, $6 how many of its
-- messages were sent, $7 how often the next one has failed, $8 in how many milliseconds it goes on, $9 why it is parked. A version that
-- was put back meanwhile stays.
with gone as (
  delete from annals.webhook_queues
  where webhook = $1 and document = $2 and due_at = $3 and next = $4 and newest < $5::bigint and $9::text is null returning 1
)
update annals.webhook_queues set
  next = case when next = $4 then $5::bigint else next end, sent = case when next = $4 then $6::bigint else sent end,
  failures = case when next = $4 then $7::bigint else failures end, due_at = now() + $8::bigint * interval '1 millisecond',
  parked = case when next = $4 then $9::text else parked end,
  parked_at = case when next = $4 and $9::text is not null then now() else parked_at end
where webhook = $1 and document = $2 and due_at = $3 and not exists (select from gone)
