-- $1 webhooks, $2 how many documents of each are taken at most: those that wait longest; $3 how many in all. Whoever takes one has it for a
-- minute. The number in it is for the planner, who would else read the whole table.
with taken as (
  select q.webhook, q.document from (
    select d.webhook, d.document from unnest($1::uuid[], $2::bigint[]) w(id, room), lateral (
      select webhook, document from annals.webhook_queues
      where webhook = w.id and parked is null and due_at <= now() order by due_at limit w.room for update skip locked
    ) d limit 64
  ) q limit $3
)
update annals.webhook_queues q set due_at = now() + interval '1 minute'
from taken t where q.webhook = t.webhook and q.document = t.document
returning q.webhook, q.document, q.next, q.sent, q.newest, q.failures, q.due_at
