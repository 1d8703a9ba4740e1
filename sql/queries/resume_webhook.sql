-- $1 webhook, $2 document. $3: the next event is left out.
update annals.webhook_queues set parked = null, parked_at = null, failures = 0, due_at = now(),
  next = case when $3 then next + 1 else next end, sent = case when $3 then 0 else sent end
where webhook = $1 and document = $2 and parked is not null
