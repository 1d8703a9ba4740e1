-- $1 webhook, $2 before this one, $3 how many. Bounds of both columns, as in read_category.
select id, message, event, document, version, number, at, milliseconds, status, problem from annals.webhook_attempts
where (webhook, id) < ($1, $2) and (webhook, id) >= ($1, 0) order by webhook desc, id desc limit $3
