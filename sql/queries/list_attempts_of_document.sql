-- $1 webhook, $2 before this one, $3 how many, $4 of this document. Bounds of all three columns, as in read_category.
select id, message, event, document, version, number, at, milliseconds, status, problem from annals.webhook_attempts
where (webhook, document, id) < ($1, $4, $2) and (webhook, document, id) >= ($1, $4, 0)
order by webhook desc, document desc, id desc limit $3
