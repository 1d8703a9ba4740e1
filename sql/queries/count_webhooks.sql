-- $1 webhooks: for each, documents that wait and those that are parked, counted up to 10,000, and how long the first has waited in seconds
select w.id, (select count(*) from (select from annals.webhook_queues where webhook = w.id and parked is null limit 10000) q),
  (select count(*) from (select from annals.webhook_queues where webhook = w.id and parked is not null limit 10000) q)
from unnest($1::uuid[]) w(id)
