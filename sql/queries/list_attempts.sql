-- $1 webhook, $2 before this one, $3 how many, $4 of this document, or null
select id, message, event, document, version, number, at, milliseconds, status, problem from annals.webhook_attempts
where webhook = $1 and id < $2 and ($4::uuid is null or document = $4) order by id desc limit $3
