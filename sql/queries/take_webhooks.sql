-- $1 webhooks, $2 how many documents of each are taken: those that wait longest. Whoever takes one has it for a minute.
with taken as (
  select q.webhook, q.document from unnest($1::uuid[], $2::bigint[]) w(id, room), lateral (
    select webhook, document from annals.webhook_queues
    where webhook = w.id and parked is null and due_at <= now() order by due_at limit w.room for update skip locked
  ) q
)
update annals.webhook_queues q set due_at = now() + interval '1 minute'
from taken t where q.webhook = t.webhook and q.document = t.document
returning q.webhook, q.document, q.next, q.sent, q.newest, q.failures, q.due_at
