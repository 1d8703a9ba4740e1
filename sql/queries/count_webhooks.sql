-- $1 webhooks: for each, documents with a message that has failed and is sent again, and those that are parked, counted up to 10,000. How
-- many only wait is not told: whether the webhook's owner may see them is decided when they are sent.
select w.id, (select count(*) from (select from annals.webhook_queues
    where webhook = w.id and parked is null and failures > 0 limit 10000) q),
  (select count(*) from (select from annals.webhook_queues where webhook = w.id and parked is not null limit 10000) q)
from unnest($1::uuid[]) w(id)
