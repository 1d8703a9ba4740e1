-- $1 webhook, $2 after this document, $3 how many
select document, next, failures, parked, parked_at from annals.webhook_queues
where webhook = $1 and parked is not null and document > $2 order by document limit $3
