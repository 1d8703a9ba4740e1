select id, message, event, document, version, number, at, milliseconds, status, problem, webhook from annals.webhook_attempts
where event = $1 order by id limit $2
