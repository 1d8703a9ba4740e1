-- Rows of a webhook that is gone, $2 at a time.
delete from annals.webhook_queues where webhook = $1 and document in (
  select document from annals.webhook_queues where webhook = $1 limit $2
)
